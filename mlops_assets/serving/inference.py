"""One inference request, from its body to its answer, in one thread.

No HTTP here.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Lock

from mlops_assets.errors import ExportError, NotFound, RequestRefused
from mlops_assets.principals import Principal
from mlops_assets.serving.protocol.answer import Answer, write_answer
from mlops_assets.serving.protocol.request import InferenceRequest, read_request
from mlops_assets.serving.sessions.interface import (
    Exchange,
    Repository,
    RequestLogger,
    ServedVersion,
    Session,
)
from mlops_assets.serving.visible_versions import VisibleVersions

# values of JSON take eight times the memory of their text: large texts are read one after the other
LARGE_JSON = 4 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """An inference request as it was received.

    Attributes:
        model: name of the model.
        version: of the model, or an alias; the default if None.
        body: of the HTTP request.
        header_length: value of `Inference-Header-Content-Length`; None if it was not sent.
        principal: who asks.
    """

    model: str
    version: str | None
    body: bytes
    header_length: str | None
    principal: Principal


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and the version that has given it."""

    answer: Answer
    served: ServedVersion


class Inference:
    """The answers of a server's models."""

    def __init__(
        self,
        repository: Repository,
        logger: RequestLogger | None,
        visible: VisibleVersions,
        finite: bool,
    ) -> None:
        """Answer requests.

        Args:
            repository: the models.
            logger: of requests; None for none.
            visible: who may see which model versions.
            finite: whether NaN and infinities in binary tensors are refused.
        """
        self._repository = repository
        self._logger = logger
        self._visible = visible
        self._finite = finite
        self._large = Lock()

    def answer(self, question: Question) -> Answered:
        """Return the answer to a request.

        Args:
            question: the request.

        Raises:
            RequestRefused: it is invalid, or the model does not run on it.
            NotFound: no such model is served, or the caller may not see it.
            ModelUnavailable: the model is not loaded at present.
            StorageError: it is not known at present who may see the model.
        """
        started = time.time()
        clock = time.perf_counter()
        session = self.session(question.principal, question.model, question.version)
        served = session.served
        request = self._read(question, served)
        try:
            outputs = session.run(request.inputs, [output.name for output in request.outputs])
        except ExportError as error:
            raise RequestRefused(f"{served.name}@{served.version}: {error}") from error
        answer = write_answer(served, request, outputs)
        if self._logger is not None:
            exchange = Exchange(
                request.id,
                served,
                question.principal.name,
                started,
                time.perf_counter() - clock,
                request.inputs,
                outputs,
            )
            try:
                self._logger.record(exchange)
            # whatever is wrong with the log, the caller has an answer
            except Exception:
                log.exception("a request could not be logged")
        return Answered(answer, served)

    def session(self, principal: Principal, model: str, version: str | None) -> Session:
        """Return a loaded version that a caller may see.

        Args:
            principal: who asks.
            model: name of the model.
            version: of the model, or an alias; the default if None.

        Raises:
            NotFound: no such model is served, or the caller may not see it, which is the same.
            ModelUnavailable: the model is not loaded at present.
            StorageError: it is not known at present who may see the model.
        """
        try:
            session = self._repository.session(model, version)
        except NotFound as error:
            raise unknown(model, version) from error
        if not self._visible.sees(principal, model, session.served.version):
            raise unknown(model, version)
        return session

    def _read(self, question: Question, served: ServedVersion) -> InferenceRequest:
        if _json_bytes(question) <= LARGE_JSON:
            return self._parsed(question, served)
        with self._large:
            try:
                return self._parsed(question, served)
            except RequestRefused as error:
                refused = RequestRefused(str(error), error.status)
            # a new error, as the frames of the other have all values, which are to be freed
            # before the next text is read
            raise refused

    def _parsed(self, question: Question, served: ServedVersion) -> InferenceRequest:
        return read_request(
            question.body, question.header_length, served.inputs, served.outputs, self._finite
        )


def _json_bytes(question: Question) -> int:
    """Return how many bytes of a body are JSON, as far as its caller states that."""
    text, size = question.header_length, len(question.body)
    if text is None or not text.isdecimal() or len(text) > len(str(size)):
        return size
    return min(int(text), size)


def unknown(model: str, version: str | None) -> NotFound:
    """Return the error of a model that is not served, or that a caller may not see."""
    name = f"model {model[:100]!r}" + ("" if version is None else f", version {version[:100]!r}")
    return NotFound(f"{name} is not served here; POST /v2/repository/index lists what is")
