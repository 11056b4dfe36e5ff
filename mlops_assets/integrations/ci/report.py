"""The report of a pipeline in Markdown, as a comment on a merge request.

All that branches, models, errors and logs contribute is rendered literally: no HTML, no mention, no
reference to an issue, no quick action of GitLab, which is a line that begins with a slash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlops_assets.integrations.ci.judge import TRAIN, Judgement, ModelJudgement, Stage
from mlops_assets.models.gates.outcomes import GateOutcome
from mlops_assets.runs.comparison import Comparison
from mlops_assets.runs.reports.formatting import number
from mlops_assets.runs.reports.markdown import metrics_table
from mlops_assets.text.markup import code, plain, table
from mlops_assets.text.secret_urls import redacted

# by which the comment of an earlier run is found, and updated
MARK = "<!-- mlops-ci-report -->"
# characters of a comment on GitHub are 65,536, in Azure DevOps 150,000, in GitLab 1,000,000
LIMIT = 60_000
_WORDS = {"passed": "passed", "failed": "**failed**", "cannot tell": "**cannot tell**"}
_INVISIBLE = "\u200b"  # zero width space
_MENTION = re.compile(r"(?<![\w.@/+-])@(?=\w)")
_ISSUE = re.compile(r"(?<![\w&])([#!])(?=\d)")
_ACTION = re.compile(r"^(?=\s*/)", re.MULTILINE)
_FENCED = re.compile(r"(^`{3,}.*?^`{3,}$)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Pipeline:
    """The pipeline that a report is of.

    Attributes:
        branch: that it has run on.
        commit: that it has run on; empty if unknown.
        url: of its log; empty if unknown.
    """

    branch: str
    commit: str = ""
    url: str = ""


def report(pipeline: Pipeline, judgement: Judgement, limit: int = LIMIT) -> str:
    """Return the report of a pipeline.

    What is beyond the limit is left out, from the details of the last model on; the summary stays.

    Args:
        pipeline: it.
        judgement: what came of it.
        limit: characters at most, 2,000 or more.
    """
    head = _head(pipeline, judgement)
    details = [_of_stage(stage) for stage in judgement.stages if not stage.passed]
    details += [_of_model(model) for model in judgement.models]
    text = _harmless(head)
    left = "\n\nMore does not fit here; the artefact `report.md` of the pipeline has it.\n"
    if len(text) > limit - len(left):
        return text[: limit - len(left)] + left
    for number_, detail in enumerate(details):
        part = f"\n\n{_harmless(detail)}"
        last = number_ == len(details) - 1
        if len(text) + len(part) + (0 if last else len(left)) > limit - 1:
            return text + left
        text += part
    return f"{text}\n"


def _head(pipeline: Pipeline, judgement: Judgement) -> str:
    outcome = "passed" if judgement.passed else "failed"
    facts = [["branch", code(pipeline.branch[:200])]]
    if pipeline.commit:
        facts.append(["commit", code(pipeline.commit[:64])])
    if pipeline.url:
        facts.append(["log", _link(pipeline.url)])
    rows = [_summary(judgement, model) for model in judgement.models]
    header = ["model", "outcome", "data in production", "version", "compared with"]
    failed = [stage.name for stage in judgement.stages if not stage.passed]
    parts = [
        MARK,
        f"## Models: {outcome}",
        table(["", ""], facts),
        table(header, rows),
    ]
    if failed:
        parts.append(f"Stages that have failed: {', '.join(map(code, failed))}.")
    return "\n\n".join(parts)


def _summary(judgement: Judgement, model: ModelJudgement) -> list[str]:
    word = _WORDS[model.verdict]
    if model.verdict != "passed" and judgement.lets_pass(model):
        word += " (lets it pass)"
    prepared = model.prepared
    return [
        code(model.model),
        word,
        code(prepared.data_there) if prepared else "–",
        code(model.row.version) if model.row else "–",
        code(prepared.baseline_there) if prepared and prepared.baseline_there else "–",
    ]


def _of_model(model: ModelJudgement) -> str:
    parts = [f"### {code(model.model)}: {model.verdict}"]
    if model.reason:
        parts.append(f"{plain(redacted(model.reason))}.")
    if model.prepared is not None:
        facts = [
            ["data", code(f"{model.prepared.data_there} of production")],
            ["digest", code(model.prepared.digest)],
        ]
        if model.row is not None:
            facts.append(["model version", code(f"{model.model}@{model.row.version}")])
        if model.prepared.baseline is not None:
            there, here = model.prepared.baseline_there, model.prepared.baseline
            facts.append(["compared with", code(f"{there} of production, here {here}")])
        if model.sha256 is not None:
            facts.append(["sha256 of model.onnx", code(model.sha256)])
        parts.append(table(["", ""], facts))
    if model.gates:
        rows = [_gate(outcome) for outcome in model.gates]
        parts += ["#### Gates", table(["gate", "outcome", "value", "limit", ""], rows)]
    if model.comparison is not None:
        parts += _compared(model.comparison)
    return "\n\n".join(parts)


def _compared(comparison: Comparison) -> list[str]:
    notices = [f"{plain(notice)}." for notice in comparison.notices]
    return [
        "#### Metrics",
        *notices,
        metrics_table(comparison, ["production", "this branch"]),
        "With 95 % intervals. ▲ more, ▼ less than production.",
    ]


def _gate(outcome: GateOutcome) -> list[str]:
    return [
        code(outcome.gate),
        _WORDS[outcome.verdict],
        "–" if outcome.value is None else number(outcome.value),
        "–" if outcome.limit is None else number(outcome.limit),
        plain(redacted(outcome.reason)) if outcome.reason else "",
    ]


def _of_stage(stage: Stage) -> str:
    what = (
        f"training of {code(stage.name.removeprefix(TRAIN))}"
        if stage.name.startswith(TRAIN)
        else f"stage {code(stage.name)}"
    )
    text = redacted(stage.output) or "(no output)"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"### Output of the {what}\n\n{fence}text\n{text}\n{fence}"


def _link(url: str) -> str:
    if re.fullmatch(r"https?://[\w.:%/?=&~+-]+", url):
        return f"<{url}>"
    return code(url)


def _harmless(text: str) -> str:
    """Return Markdown in which nothing outside of code blocks is a mention or a command."""
    parts = _FENCED.split(text)
    # those at odd places are code blocks, in which no platform looks for them
    return "".join(
        part
        if index % 2
        else _ACTION.sub(
            _INVISIBLE, _ISSUE.sub(rf"\1{_INVISIBLE}", _MENTION.sub(f"@{_INVISIBLE}", part))
        )
        for index, part in enumerate(parts)
    )
