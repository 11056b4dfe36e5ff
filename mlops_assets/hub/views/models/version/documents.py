"""One line each of the documents beside a model version's metrics: applicability, parity, speed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.models.applicability.document import read_document
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.model_documents import Document, Latency
from mlops_assets.store import Store

T = TypeVar("T")


class Parity(Document):
    """The `parity.json` of a model version; what is read of it.

    Attributes:
        passed: whether the ONNX model equals the trained one.
        samples: number of compared test samples.
        difference: the largest one of an output, relative to its spread; None if unknown.
        agreement: share of samples with the same class; None of numbers.
    """

    passed: bool = True
    samples: int | None = None
    difference: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class VersionDocuments:
    """One line of each document; None where there is none, or it cannot be read.

    Attributes:
        applicability: area of applicability.
        parity: of the ONNX model with the trained one.
        latency: of the ONNX model.
        figures: names of figures, which are files.
    """

    applicability: str | None
    parity: str | None
    latency: str | None
    figures: list[str]


def version_documents(store: Store, row: ModelVersion, problems: list[str]) -> VersionDocuments:
    """Return one line of each document of a model version.

    Args:
        store: workspace and registry.
        row: the model version.
        problems: gets those that cannot be read, and why.
    """
    folder = model_folder(row.model, row.version)
    published = [file.path for file in store.registry.files(model_owner(row.model, row.version))]

    def text(name: str, describe: Callable[[bytes], str]) -> str | None:
        key = f"{folder}/{name}"
        if key not in published:
            return None
        return _readable(
            lambda: describe(read_published(store.workspace, store.registry, key)), key, problems
        )

    applicability = _readable(lambda: read_document(store, row), "applicability.json", problems)
    figures = f"{folder}/figures/"
    return VersionDocuments(
        applicability=None if applicability is None else applicability.description,
        parity=text("parity.json", _parity),
        latency=text("latency.json", _latency),
        figures=[
            path.removeprefix(figures).removesuffix(".png")
            for path in published
            if path.startswith(figures) and path.endswith(".png")
        ],
    )


def _readable(read: Callable[[], T], name: str, problems: list[str]) -> T | None:
    try:
        return read()
    except (IntegrityError, StorageError) as error:
        problems.append(str(error))
    except ValidationError as error:
        problems.append(f"{name} is not valid: {error.errors()[0]['msg']}")
    return None


def _parity(content: bytes) -> str:
    found = Parity.model_validate_json(content)
    parts = [f"the ONNX model {'equals' if found.passed else 'DIFFERS FROM'} the trained one"]
    if found.samples is not None:
        parts.append(f"{found.samples:,} test samples compared")
    if found.difference is not None:
        parts.append(f"largest difference {found.difference:.2g} of the spread")
    if found.agreement is not None:
        parts.append(f"same class in {found.agreement:.2%}")
    return ", ".join(parts)


def _latency(content: bytes) -> str:
    found = Latency.model_validate_json(content)
    return (
        f"{found.one.median_ms:.3g} ms for one sample, {found.batch.median_ms:.3g} ms for"
        f" {found.batch.samples:,} (median; {found.cpu or found.host}, {found.threads} threads,"
        f" {found.runtime})"
    )
