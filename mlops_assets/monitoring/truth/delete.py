"""One request, deleted on demand: its labels with their history, and what is logged of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlops_assets.monitoring.truth.requests import days_of
from mlops_assets.monitoring.truth.stored import parquet_of, read_history
from mlops_assets.names import check_name
from mlops_assets.paths import truth_key, truth_owner
from mlops_assets.principals import Role
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.session import drop_files, record_files
from mlops_assets.serving.request_log.retention import delete_request, deletion_reason
from mlops_assets.store import Store


@dataclass(frozen=True)
class Deletion:
    """Samples of a request that were deleted.

    Attributes:
        samples: from the log.
        labels: whose labels were deleted.
    """

    samples: int
    labels: int


def delete_with_labels(store: Store, model: str, request: str, reason: str) -> Deletion:
    """Delete a request from the log, and its labels; both are counted.

    Labels of a request that is no longer in the log are deleted, too. What fails half-way is
    completed by the next call.

    Args:
        store: workspace and registry.
        model: name of the model.
        request: id of the request.
        reason: why.

    Raises:
        Conflict: another process adds labels and does not end.
        Forbidden: the principal is not an operator.
        IntegrityError: a file is not as it was published.
        SpecificationError: id or reason cannot be used.
        StorageError: the workspace cannot be read or written.
    """
    samples = delete_request(store, model, request, reason)
    return Deletion(samples, delete_labels(store, model, request, reason))


def delete_labels(store: Store, model: str, request: str, reason: str) -> int:
    """Delete the labels of a request, also those that were corrected.

    Who has deleted them, when and why is in the log of the registry, but not the id. What was
    measured with them keeps its numbers.

    Args:
        store: workspace and registry.
        model: name of the model.
        request: id of the request.
        reason: why.

    Returns:
        The number of samples whose labels are gone.

    Raises:
        Conflict: another process adds labels and does not end.
        Forbidden: the principal is not an operator.
        IntegrityError: a file of labels is not as it was published.
        SpecificationError: there is no reason, or it is too long.
    """
    check_name(model, "model")
    store.registry.principal.require(Role.OPERATOR, "delete labels of requests")
    reason = deletion_reason(reason)
    deleted = 0
    contents: dict[str, bytes | Path] = {}
    empty: list[str] = []
    changed: list[str] = []
    with store.registry.lock(f"labels of {model}"):
        for day in days_of(store, model):
            history = read_history(store, model, day)
            own = history["id"] == request
            if not own.any():
                continue
            deleted += int(history.loc[own, "row"].nunique())
            if own.all():
                empty.append(truth_key(model, day))
            else:
                changed.append(day)
                contents[truth_key(model, day)] = parquet_of(history[~own])
        if not deleted:
            return 0
        action = f"delete labels of a request of {model}: {reason}"
        with publication(store.workspace, store.registry, Role.OPERATOR) as publishing:
            publishing.put_all(contents)
            with store.registry.transaction(action, Role.OPERATOR) as session:
                for day, file in zip(changed, publishing.files, strict=True):
                    record_files(session, truth_owner(model, day), [file])
                drop_files(session, empty)
    return deleted
