"""Fields derived from typed parameters, and their values as text."""

from __future__ import annotations

import json

import pytest

from mlops_assets.errors import SpecificationError
from mlops_assets.hub.views.training.fields import FormField, fields_of, read_value
from mlops_assets_tests.hub.views.training.parameters import Everything

VALUES = json.loads(Everything(size=8).model_dump_json())
FIELDS = {field.name: field for field in fields_of(Everything, VALUES, {"size": 8})}


def test_each_parameter_has_its_kind_default_limits_and_description() -> None:
    found = {
        name: (field.kind, field.text(field.default), field.limits)
        for name, field in FIELDS.items()
    }
    assert found == {
        "size": ("integer", "8", "≥ 1, < 100"),
        "rate": ("number", "0.001", "> 0"),
        "augment": ("boolean", "true", ""),
        "mixed": ("choice", "", ""),
        "schedule": ("choice", "one_cycle", ""),
        "width": ("choice", "16", ""),
        "loss": ("choice", "", ""),
        "patience": ("integer", "", "≥ 1"),
        "label": ("text", "a b", ""),
        "weights": ("value", "none", "none, balanced or {name: value}"),
        "layers": ("value", "[4]", ""),
        "folder": ("text", "x", ""),
        "opaque": ("text", "1j", ""),
    }
    assert FIELDS["size"].declared and not FIELDS["size"].required
    assert FIELDS["rate"].description == "Peak of the schedule."
    assert FIELDS["loss"].choices == ["focal", "plain", None]
    assert fields_of(Everything, {}, {})[0].required
    (further,) = fields_of(Everything, {"C": 100}, {})[len(FIELDS) :]
    assert (further.name, further.kind, further.parse("0.5")) == ("C", "value", 0.5)


@pytest.mark.parametrize("name", list(FIELDS))
def test_the_text_of_a_default_is_read_as_that_default(name: str) -> None:
    field = FIELDS[name]
    assert field.parse(field.text(field.default)) == field.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("label", "0012 # no", "0012 # no"),
        ("width", "32", 32),
        ("mixed", "true", True),
        ("weights", "{1: 2.5}", {"1": 2.5}),
        ("weights", '"yes"', "yes"),
        ("weights", '{1: 2, "1": 3, n: "no"}', {"1": 2, "'1'": 3, "n": "no"}),
        ("size", "9" * 40, int("9" * 40)),
    ],
)
def test_a_text_is_read_as_a_command_reads_it(name: str, text: str, value: object) -> None:
    assert FIELDS[name].parse(text) == value
    assert FIELDS[name].parse(FIELDS[name].text(FIELDS[name].parse(text))) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "not valid YAML"),
        ("!!python/object:os.system x", "not valid YAML"),
        ("2026-11-30", "quote it if it is text"),
        ("&a [*a]", "a reference"),
        ("&a [1]\n*a", "not valid YAML"),
        ("[" * 2_000 + "]" * 2_000, "nested too deeply"),
        ("1" * 10_001, "longer than"),
        ("1" * 5_000, "digits"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_text_that_harms_or_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        read_value(text)


def test_an_empty_text_is_null_where_that_is_valid() -> None:
    assert FIELDS["patience"].parse(" ") is None
    with pytest.raises(SpecificationError, match="size needs a value"):
        FIELDS["size"].parse(" ")
    assert FormField.of_any("x").text(float("1e300")) == "1e+300"
