"""Columns of tables that have a role: label, group, id, split.

They are text until all files have been read, then have one spelling. So a value is the same in
every file, and types are not guessed: 007 stays 007, NA is a code like any other, and 17 in one
file and 17.0 in another are one farm.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.api import types as kinds

from mlops_assets.datasets.specification.source import TableLayout

# a number that every program writes alike, except for its zeros
_PLAIN = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?")
# what a column of whole numbers becomes where one is missing
_WHOLE_AS_FLOAT = re.compile(r"[+-]?(0|[1-9][0-9]*)\.0+")
_BOOLEANS = {"true": "1", "false": "0"}
# how programs write that a number is missing; in a column of texts these are texts
_MISSING = {"na", "n/a", "#n/a", "nan", "null", "none", "-nan"}


def role_columns(layout: TableLayout) -> list[str]:
    """Return the columns that are read as text."""
    return [column for column in (layout.label, layout.group, layout.split, layout.id) if column]


def as_text(value: object) -> str | None:
    """Return one value as it is written, NFC-normalised; None if it is missing."""
    if isinstance(value, str):  # first, as it is what most columns have, millions of times
        return unicodedata.normalize("NFC", value.strip()) or None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, bytes):  # of programs that write texts as plain bytes to Parquet
        value = value.decode()
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        # as short as its own type needs
        return str(int(value)) if float(value).is_integer() else str(value)
    return unicodedata.normalize("NFC", str(value).strip()) or None


def texts_of(values: pd.Series) -> pd.Series:
    """Return the values of a column as `as_text` gives them; days as CSV has them, without a time.

    Raises:
        ValueError: values are lists or structures, or bytes that are not UTF-8.
    """
    if (
        kinds.is_datetime64_any_dtype(values)
        and (values.dropna() == values.dropna().dt.normalize()).all()
    ):
        values = values.dt.strftime("%Y-%m-%d")
    try:
        different = values.unique()
    except TypeError as error:
        raise ValueError(
            f"column {values.name!r} has lists or structures where one value is needed"
        ) from error
    return values.map({value: as_text(value) for value in different}).astype("str")


def one_spelling(columns: Mapping[str, pd.Series], decimal: str = ".") -> dict[str, pd.Series]:
    """Return the values of one column of all files in one spelling, as text.

    Missing values stay missing.

    If every value is a number without needless zeros in front and without an exponent, equal
    numbers are one value. True and false are 1 and 0, unless they are beside words only. All else
    is as written, but for whole numbers that end in '.0'.

    Args:
        columns: values as `texts_of` gives them, by file.
        decimal: decimal mark of numbers.
    """
    written = {value for column in columns.values() for value in column.dropna().unique()}
    spelled = {value: _spelled(value, decimal) for value in written}
    words = {value for value in written if value.lower() in _BOOLEANS}
    if words == written or any(_PLAIN.fullmatch(value) for value in spelled.values()):
        spelled |= {value: _BOOLEANS[value.lower()] for value in words}
    if all(_PLAIN.fullmatch(new) for new in spelled.values()):
        spelled = {value: _whole(new) for value, new in spelled.items()}
    else:
        wholes = {
            value: _whole(new) for value, new in spelled.items() if _WHOLE_AS_FLOAT.fullmatch(new)
        }
        spelled = {value: spelled[value] if value in words else value for value in written} | wholes
    return {path: column.map(spelled).astype("str") for path, column in columns.items()}


def _spelled(value: str, decimal: str) -> str:
    return value.replace(decimal, ".") if decimal != "." and "." not in value else value


def _whole(number: str) -> str:
    """Return a plain number without a plus sign and trailing zeros."""
    text = number.lstrip("+")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def type_of(values: pd.Series) -> str:
    """Return the type of a column as pandas calls it.

    Texts that are all plain numbers have the type of these numbers.
    """
    texts = values.dropna().unique() if isinstance(values.dtype, pd.StringDtype) else ()
    if len(texts) and all(_PLAIN.fullmatch(value) for value in texts):
        return str(pd.to_numeric(values).dtype)
    return str(values.dtype)


def are_numbers(texts: pd.Series, decimal: str = ".") -> bool:
    """Return whether every value is a number, in any notation."""
    return all(_number(value, decimal) is not None for value in texts.dropna().unique())


def have_decimal_commas(texts: pd.Series) -> bool:
    """Return whether the values are numbers with a decimal comma, some of them at least."""
    return bool(texts.astype("str").str.contains(",").any()) and are_numbers(
        texts.astype("str"), ","
    )


def to_numbers(texts: pd.Series, decimal: str = ".") -> pd.Series:
    """Return numbers written as text as float64, the nearest to what is written.

    NaN where a text is not a number.
    """
    return texts.map({value: _number(value, decimal) for value in texts.dropna().unique()}).astype(
        "float64"
    )


def without_missing_numbers(
    columns: Mapping[str, pd.Series], decimal: str = "."
) -> dict[str, pd.Series]:
    """Return values without texts for a missing number, if all others are numbers.

    Else they are unchanged.
    """
    written = {value for column in columns.values() for value in column.dropna().unique()}
    missing = {value for value in written if value.lower() in _MISSING}
    if (
        missing
        and written - missing
        and all(_number(value, decimal) is not None for value in written - missing)
    ):
        return {path: column.where(~column.isin(missing)) for path, column in columns.items()}
    return dict(columns)


def _number(text: str, decimal: str) -> float | None:
    if "_" in text or not text.isascii():  # Python's own notations
        return None
    try:
        number = float(_spelled(text, decimal))
    except ValueError:
        return None
    return None if np.isnan(number) else number
