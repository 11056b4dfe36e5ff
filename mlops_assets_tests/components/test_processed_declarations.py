"""Declarations of processed datasets: what is wrong, and what cannot be used without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.components.project.declarations import check_declarations, read_declarations
from mlops_assets.errors import SpecificationError
from mlops_assets_tests.test_definitions import DATASET, MODEL

PROCESSED = """---
type: mlops_assets.components.ProcessedDataset
attributes:
  name: thinned
  source: {layout: table, table: {label: crop}}
  inputs: [fields]
  function: mlops_assets_tests.processing.functions:thin
"""
# of the first line of PROCESSED, after DATASET
START = len(DATASET.splitlines())


def test_a_good_declaration_has_no_problem(tmp_path: Path) -> None:
    model = MODEL.replace("type", "---\ntype").replace("dataset: fields", "dataset: thinned")
    (tmp_path / "defs.yaml").write_text(DATASET + PROCESSED + model)
    check_declarations(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "reason"),
    [
        ("[fields]", "[meadows]", 6, "inputs", "no dataset is called 'meadows'"),
        ("[fields]", "[fields, meadows@v1]", 6, "inputs", "is called 'meadows'"),
        ("[fields]", "[fields@v1]", 6, "inputs", "each version of the first input is processed"),
        ("[fields]", "[fields, fields@v1]", 6, "inputs", "a dataset occurs twice"),
        ("[fields]", "[thinned]", 6, "inputs", "thinned cannot be made from itself"),
        ("[fields]", "[]", 6, "inputs", "at least 1 item"),
        ("[fields]", "[fields, NO]", 6, "inputs.1", "NO is not text to YAML; quote it: 'NO'"),
        ("[fields]", "['no name']", 6, "inputs", "cannot be used"),
        (":thin", ":thick", 7, "function", "has no function thick"),
        (":thin", ":HERE", 7, "function", "has no function HERE"),
        (":thin", "", 7, "function", "must be written 'package.module:function'"),
        ("functions:thin", "nowhere:thin", 7, "function", "cannot be imported"),
        (
            "mlops_assets_tests.processing.functions:thin",
            "mlops_assets.training.trainers.sklearn:train",
            7,
            "function",
            "must be declared as train(inputs, output, params, run)",
        ),
        (":thin\n", ":thin\n  params: {every: x}\n", 8, "params", "every: Input should be a valid"),
        (":thin\n", ":thin\n  params: {evry: 3}\n", 8, "params", "evry: unknown; there is every"),
        (
            ":thin\n",
            ":thin\n  every: 3\n",
            8,
            "every",
            "as a parameter it belongs in attributes.params",
        ),
        (":thin\n", ":thin\n  compute: {processes: 2}\n", 8, "compute", "only trainers run under"),
        ("{layout", "{url: landing/x, layout", 5, "source.url", "writes to its output; remove it"),
        (":thin\n", f":thin\n{PROCESSED}", 11, "name", "'thinned' is declared at"),
    ],
)
def test_a_wrong_declaration_is_one_error_with_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, key: str, reason: str
) -> None:
    file = tmp_path / "defs.yaml"
    assert old in PROCESSED
    file.write_text(DATASET + PROCESSED.replace(old, new))
    with pytest.raises(SpecificationError) as raised:
        check_declarations(tmp_path)
    message = str(raised.value)
    assert message.startswith("1 problem(s)"), message
    assert f"{file}:{START + line}: attributes.{key}" in message
    assert reason in message


def test_data_made_from_each_other_is_one_error_and_neither_is_used(tmp_path: Path) -> None:
    first = PROCESSED.replace("[fields]", "[second]")
    second = PROCESSED.replace("thinned", "second").replace("[fields]", "[fields, third]")
    third = PROCESSED.replace("thinned", "third").replace("[fields]", "[second]")
    (tmp_path / "defs.yaml").write_text(DATASET + first + second + third)
    declared = read_declarations(tmp_path)
    (problem,) = declared.problems
    assert "attributes.inputs: is a circle: second from third from second" in problem.text
    # what is made from the circle cannot be used either
    assert set(declared.left_out_names()) == {"second", "third", "thinned"}


def test_what_is_made_from_wrongly_declared_data_is_left_out(tmp_path: Path) -> None:
    model = MODEL.replace("type", "---\ntype").replace("dataset: fields", "dataset: thinned")
    (tmp_path / "defs.yaml").write_text(
        model.lstrip("-\n") + PROCESSED + "---" + DATASET + "  x: 1\n"
    )
    assert set(read_declarations(tmp_path).left_out_names()) == {"fields", "thinned", "forest"}
