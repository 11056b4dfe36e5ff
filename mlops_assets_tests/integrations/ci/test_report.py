"""The report of a merge request: what others have named is literal in it, and it fits."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from mlops_assets.integrations.ci.judge import Judgement, ModelJudgement, Stage
from mlops_assets.integrations.ci.report import MARK, Pipeline, report
from mlops_assets.integrations.ci.workspaces import PreparedModel
from mlops_assets.models.gates.outcomes import GateOutcome

HOSTILE = (
    "<script>alert(1)</script> <!-- --> ![x](http://evil/x.png) [a](javascript:x) @everyone #1 !2"
    " | x |\n/close\n```\n@all\n/merge\n````\n"
)
PREPARED = PreparedModel(
    model="crops",
    data="fields@v1",
    data_there="fields@v7",
    digest="ab" * 32,
    baseline="v1-0a0a0a0a",
    baseline_there="v3-1f0c9a2b",
)


def _judged(verdict: str = "passed", reason: str = "") -> ModelJudgement:
    gate = GateOutcome("accuracy ≥ 0.8", verdict == "passed", 0.9, 0.8, reason or None)
    return ModelJudgement("crops", verdict, reason, PREPARED, None, (gate,))  # type: ignore[arg-type]


def test_a_report_states_what_was_compared_and_what_came_of_it() -> None:
    text = report(Pipeline("feature/x", "1a2b", "https://ci.example.org/1"), _judgement())
    assert text.startswith(f"{MARK}\n\n## Models: passed\n")
    for part in ("`fields@v7`", "ab" * 32, "`v3-1f0c9a2b`", "<https://ci.example.org/1>"):
        assert part in text
    failed = report(Pipeline("x"), _judgement(_judged("cannot tell")))
    assert "## Models: failed" in failed
    let = Judgement((), (_judged("cannot tell"),), undecided_passes=True)
    assert "**cannot tell** (lets it pass)" in report(Pipeline("x"), let)


def test_a_stage_that_has_failed_fails_all_and_its_output_is_there() -> None:
    stage = Stage("validate", False, "defs.yaml:21 - task is not one of …")
    text = report(Pipeline("x"), Judgement((stage,), (_judged(),), False))
    assert "## Models: failed" in text
    assert "defs.yaml:21" in text


def test_text_of_others_is_literal() -> None:
    stage = Stage(f"train-{HOSTILE}", False, HOSTILE)
    pipeline = Pipeline(HOSTILE, HOSTILE, f"javascript:{HOSTILE}")
    judgement = Judgement((stage,), (_judged("failed", HOSTILE),), False)
    text = report(pipeline, judgement)
    page = MarkdownIt("gfm-like", {"linkify": False}).render(text.replace(MARK, ""))
    assert not re.search("<(script|img|a) ", page.replace('href="https', ""))
    outside = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", text)
    assert not re.search(r"(?m)^\s*/", outside)
    assert not re.search(r"(?<![\w`])@\w", outside)
    assert not re.search(r"(?<!\w)[#!]\d", outside)


@pytest.mark.parametrize("limit", [2_000, 5_000, 60_000])
def test_a_report_fits_into_a_comment_and_keeps_its_summary(limit: int) -> None:
    stages = tuple(Stage(f"train-m{n}", False, "é" * 399 + "\n" * 30) for n in range(20))
    models = tuple(_judged("failed", "why " * 100) for _ in range(20))
    text = report(Pipeline("x"), Judgement(stages, models, False), limit)
    assert len(text) <= limit
    assert text.startswith(MARK)
    assert "## Models: failed" in text
    fences = re.findall(r"(?m)^`{3,}", text)
    assert len(fences) % 2 == 0
    if limit < 60_000:
        assert "More does not fit here" in text


def _judgement(*models: ModelJudgement) -> Judgement:
    return Judgement((Stage("validate", True, ""),), models or (_judged(),), False)
