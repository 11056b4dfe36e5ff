"""Errors that users can meet: each states the problem, its place, and a remedy.

Only the classes are here; they are raised by the modules that detect the problem.
"""

from __future__ import annotations

from collections.abc import Sequence


class MlopsError(Exception):
    """Base class of every error this package raises on purpose."""


class SettingsError(MlopsError):
    """The environment or the workspace URL cannot be used."""


class Forbidden(MlopsError):
    """The principal does not have the role that an action needs; nothing was changed."""


class Unauthenticated(MlopsError):
    """A caller has sent no token, or one that is not valid."""


class SessionEnded(Unauthenticated):
    """The session of the browser has ended; its user signs in again."""


class IssuerUnreachable(MlopsError):
    """The keys of the token issuer cannot be read at present, so a token's validity is unknown."""


class NameRefused(MlopsError):
    """A dataset, model, version or tag name that would break keys, paths or URLs."""


class HeadRefused(MlopsError):
    """A head of the log, or a key to sign it with, that cannot be read."""


class NotFound(MlopsError):
    """A dataset, version, run or model that the registry does not have."""


class Hidden(NotFound):
    """Something behind what a principal sees that the principal may not see."""


class StorageError(MlopsError):
    """The workspace could not be read or written."""


class StorageUnreachable(StorageError):
    """The workspace, a landing or the registry did not answer; the same may succeed later."""


class ReleaseRefused(StorageError):
    """A newer release writes the registry, and this one no longer may."""


class DiskFull(StorageError):
    """A disk of this machine has no room for a copy."""


class TrainingDataUnreadable(MlopsError):
    """What a model was trained on is needed, and cannot be read."""


class TimeLimitExceeded(MlopsError):
    """What a caller asked for takes longer than they may keep the registry busy."""


class IntegrityError(MlopsError):
    """Stored bytes are not the bytes that were published."""


class OrchestratorUnavailable(MlopsError):
    """Dagster cannot launch, stop or show a run at present: its process is down."""


class Conflict(MlopsError):
    """Another process has published or holds the same thing."""


class SpecificationError(MlopsError):
    """A declaration that cannot work with the data it describes."""


class BrokenScene(SpecificationError):
    """A scene that cannot be read, or that lacks what a model takes."""


class MissingExtra(MlopsError):
    """A part of the package that is installed only when asked for is missing."""


class NoScenes(MlopsError):
    """A source has no scene of the area and the time that were asked for."""


class EmptyLanding(MlopsError):
    """There is nothing to commit."""


class DataProblems(MlopsError):
    """The landed data cannot become a data version; every problem found is listed."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        listed = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(
            f"{where} has {len(self.problems)} problem(s); nothing was published. "
            f"Fix these and commit again:\n{listed}"
        )


class TrainerError(MlopsError):
    """A trainer could not be loaded, failed, or returned something no framework adapter accepts."""


class ProcessingError(MlopsError):
    """A function that makes data of data could not be loaded, failed, or wrote nothing usable."""


class TrialPruned(MlopsError):
    """A trial of a sweep stopped early, as others do so much better."""


class ExportError(MlopsError):
    """A model could not be written natively, read back, or exported to ONNX."""


class ModelUnavailable(MlopsError):
    """A served model is not loaded at present."""


class RequestRefused(MlopsError):
    """A request to a server of models that is invalid; `status` is the status of the response."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)


class ImportRefused(MlopsError):
    """A model that cannot be imported as it is; all that is missing is listed, nothing written."""


class ParityError(MlopsError):
    """The outputs of the ONNX model differ from those of the trained model."""


class TruthRefused(MlopsError):
    """Labels of requests that cannot be added as they are; the problems are listed, none added."""


class EvaluationError(MlopsError):
    """A model version could not be measured on its test split; nothing was published."""


class GateFailure(MlopsError):
    """A model version did not pass its gates; no alias was moved."""


class PromotionRefused(MlopsError):
    """A model version is deprecated, or lacks the approval it needs; no alias was moved."""


class DecisionRefused(MlopsError):
    """A decision on a model version that cannot be made so; nothing was changed."""


class SignatureRefused(MlopsError):
    """A model version without a signature that is trusted, or one that cannot be signed."""


class NotReproducible(MlopsError):
    """A model version cannot be trained again as it was; nothing was trained."""


def named_error(
    name: str | None, message: str, instead: type[MlopsError] = MlopsError
) -> MlopsError | None:
    """Return an error that another process has reported; None if its class is not one of these.

    Args:
        name: of its class.
        message: the whole message.
        instead: class of an error that is not made from a message alone, as `DataProblems` is not.
    """
    kind = globals().get(name or "")
    if not (isinstance(kind, type) and issubclass(kind, MlopsError)):
        return None
    return instead(message) if kind is DataProblems else kind(message)
