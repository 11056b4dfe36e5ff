"""What is signed of a model version, as in-toto statements: its files, and how it was made.

https://github.com/in-toto/attestation. The first is that of model-signing (OpenSSF), the second is
SLSA's provenance of a build; docs/signing.md lists its fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError

import mlops_assets
from mlops_assets.errors import SignatureRefused
from mlops_assets.models.run_documents import run_columns
from mlops_assets.paths import GATES, SIGNATURES, model_folder, run_document_key, run_points_key
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.model_documents import SharedModel
from mlops_assets.storage import FileStat
from mlops_assets.strict import listed_problems
from mlops_assets.text.json_values import Json, JsonObject

STATEMENT = "https://in-toto.io/Statement/v1"
FILES = "https://model_signing/signature/v1.0"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:mlops-assets:training:v1"
BUILDER = "urn:mlops-assets"
MAX_NAMED = 5  # files in a message

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def signed_files(row: ModelVersion, files: Sequence[FileStat]) -> dict[str, str]:
    """Return name → sha256 of the files of a model version that its signature is over.

    They are those below its folder, but for the signatures themselves, and for what came of gates,
    which is compared again when production has moved.

    Args:
        row: the model version.
        files: all that are published with it.
    """
    folder = f"{model_folder(row.model, row.version)}/"
    unsigned = (f"{folder}{SIGNATURES}/", f"{folder}{GATES}/")
    names = {
        file.path.removeprefix(folder): file.sha256
        for file in files
        if file.path.startswith(folder) and not file.path.startswith(unsigned)
    }
    return _sorted(names)


def _sorted(files: Mapping[str, str]) -> dict[str, str]:
    # as paths are sorted, and not as texts: model-signing does so
    return {name: files[name] for name in sorted(files, key=PurePosixPath)}


@dataclass(frozen=True)
class SignedVersion:
    """A model version as statements about it must have it, in the workspace where it was signed.

    Attributes:
        version: its name.
        run_id: of the run that has made it.
        data: `dataset@version` that it was made from.
        data_digest: digest of that.
        files: name → sha256 of its files.
    """

    version: str
    run_id: str
    data: str
    data_digest: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, row: ModelVersion, files: Sequence[FileStat]) -> Self:
        """Return a version of this workspace, given all files that are published with it."""
        data = f"{row.dataset}@{row.data_version}"
        return cls(row.version, row.run_id, data, row.data_digest, signed_files(row, files))

    @classmethod
    def of_shared(cls, shared: SharedModel, onnx: str) -> Self:
        """Return a version as it is in the other workspace that it is used from.

        Args:
            shared: the version there.
            onnx: sha256 of the ONNX file that is used here.
        """
        there = {file.name: file.sha256 for file in shared.files}
        files = _sorted({**there, "model.onnx": onnx})
        data = f"{shared.dataset}@{shared.data_version}"
        return cls(shared.version, shared.run_id, data, shared.data_digest, files)


def root_digest(files: Mapping[str, str]) -> str:
    """Return the digest of all files, which names them together: the sha256 of their digests."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, files.values()))).hexdigest()


def files_statement(row: ModelVersion, files: Mapping[str, str]) -> JsonObject:
    """Return the statement about the files of a model version, name → sha256."""
    resources: list[Json] = [
        {"name": name, "algorithm": "sha256", "digest": sha256} for name, sha256 in files.items()
    ]
    return _statement(
        row,
        files,
        FILES,
        {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [GATES, SIGNATURES],
            },
            "resources": resources,
        },
    )


def provenance_statement(
    row: ModelVersion, run: Run, files: Mapping[str, str], published: Sequence[FileStat]
) -> JsonObject:
    """Return the statement about how a model version was made.

    Args:
        row: the model version.
        run: that made it.
        files: name → sha256 of the files that are signed.
        published: all that are published with it; the documents of its run are named.
    """
    columns = run_columns(run)
    keys = (run_document_key(run.run_id), run_points_key(run.run_id))
    documents = [file for file in published if file.path in keys]
    return _statement(
        row,
        files,
        PROVENANCE,
        {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": row.model,
                    "trainer": run.trainer,
                    "parameters": columns["parameters"],
                    "seed": run.seed,
                    "data": f"{row.dataset}@{row.data_version}",
                },
                "internalParameters": {
                    "codeVersion": run.code_version,
                    "task": row.task,
                    "framework": row.framework,
                },
                "resolvedDependencies": _dependencies(row, run),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {"mlops-assets": mlops_assets.__version__},
                },
                "metadata": {
                    "invocationId": run.run_id,
                    "startedOn": columns["started"],
                    "finishedOn": columns["finished"],
                },
                "byproducts": [
                    {"name": file.path, "digest": {"sha256": file.sha256}} for file in documents
                ],
            },
        },
    )


def _dependencies(row: ModelVersion, run: Run) -> list[Json]:
    """Return what the model was made from: data, code, packages, image."""
    found: list[Json] = [
        {
            "name": "data",
            "uri": f"urn:mlops-assets:data:{row.dataset}@{row.data_version}",
            "digest": {"sha256": row.data_digest},
        }
    ]
    if commit := run.code.get("commit"):
        repository = run.code.get("repository")
        where = {"uri": f"git+{repository}"} if repository else {}
        found.append({"name": "code", **where, "digest": {"gitCommit": commit}})
    objects = {
        "uncommitted changes": run.code.get("diff"),
        "trainer": run.code.get("source"),
        "environment": run.environment,
    }
    found += [
        {"name": name, "digest": {"sha256": sha256}} for name, sha256 in objects.items() if sha256
    ]
    if image := run.code.get("container"):
        _, _, digest = image.partition("@sha256:")
        known: JsonObject = {"digest": {"sha256": digest}} if digest else {}
        found.append({"name": "image", "uri": f"oci://{image}", **known})
    return found


def _statement(
    row: ModelVersion, files: Mapping[str, str], predicate_type: str, predicate: JsonObject
) -> JsonObject:
    return {
        "_type": STATEMENT,
        # the name of the folder, as model-signing has it
        "subject": [{"name": row.version, "digest": {"sha256": root_digest(files)}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


class _Digest(BaseModel):
    sha256: Sha256


class _Subject(BaseModel):
    name: str
    digest: _Digest


class _Statement(BaseModel):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]


class _Resource(BaseModel):
    name: str
    algorithm: Literal["sha256"]
    digest: Sha256


class _Files(BaseModel):
    resources: list[_Resource]


class _FilesStatement(_Statement):
    kind: Literal["https://model_signing/signature/v1.0"] = Field(alias="predicateType")
    predicate: _Files


class _Dependency(BaseModel):
    name: str = ""
    digest: dict[str, str] = {}


class _BuildDefinition(BaseModel):
    dependencies: list[_Dependency] = Field(alias="resolvedDependencies")


class _Metadata(BaseModel):
    run_id: str = Field(alias="invocationId")


class _RunDetails(BaseModel):
    metadata: _Metadata


class _Provenance(BaseModel):
    definition: _BuildDefinition = Field(alias="buildDefinition")
    details: _RunDetails = Field(alias="runDetails")


class _ProvenanceStatement(_Statement):
    kind: Literal["https://slsa.dev/provenance/v1"] = Field(alias="predicateType")
    predicate: _Provenance


def require_files(statement: bytes, expected: SignedVersion) -> None:
    """Check that a statement, whose signature is valid, is about the files of a version.

    Args:
        statement: JSON.
        expected: the version, with its files as they are published.

    Raises:
        SignatureRefused: it is about other files, another model version, or something else.
    """
    files = expected.files
    read = _read(_FilesStatement, statement, "the files of a model")
    _require_subject(read, expected)
    signed = {own.name: own.digest for own in read.predicate.resources}
    differences = [
        f"{name} {change}"
        for change, names in (
            ("has changed", [own for own in files if own in signed and signed[own] != files[own]]),
            ("is not signed", [own for own in files if own not in signed]),
            ("is missing", [own for own in signed if own not in files]),
        )
        for name in names
    ]
    if len(signed) < len(read.predicate.resources):
        differences.append("it names a file twice")
    if differences:
        more = len(differences) - MAX_NAMED
        listed = ", ".join(differences[:MAX_NAMED]) + (f", and {more} more" if more > 0 else "")
        raise SignatureRefused(f"is over other files: {listed}")
    # of the order that it states them in
    if read.subject[0].digest.sha256 != root_digest(signed):
        raise SignatureRefused("names another digest of all files than they have")


def require_provenance(statement: bytes, expected: SignedVersion) -> None:
    """Check that a statement, whose signature is valid, is about how a version was made.

    Args:
        statement: JSON.
        expected: the version, whose run and data it must name.

    Raises:
        SignatureRefused: it is about other files, another run, or other data.
    """
    read = _read(_ProvenanceStatement, statement, "how a model was made")
    _require_subject(read, expected)
    if read.subject[0].digest.sha256 != root_digest(expected.files):
        raise SignatureRefused("is about how other files were made")
    if (run_id := read.predicate.details.metadata.run_id) != expected.run_id:
        raise SignatureRefused(f"names run {run_id!r}, and the registry {expected.run_id}")
    data = [own.digest for own in read.predicate.definition.dependencies if own.name == "data"]
    if data != [{"sha256": expected.data_digest}]:
        raise SignatureRefused(f"names data of another digest than {expected.data} has")


S = TypeVar("S", bound=_Statement)


def _read(kind: type[S], statement: bytes, about: str) -> S:
    try:
        return kind.model_validate_json(statement)
    except ValidationError as error:
        problem = listed_problems(error, "it")
        raise SignatureRefused(f"is not a statement about {about}: {problem}") from error


def _require_subject(read: _Statement, expected: SignedVersion) -> None:
    if (name := read.subject[0].name) != expected.version:
        raise SignatureRefused(f"is of {name!r}, which is another model version")
