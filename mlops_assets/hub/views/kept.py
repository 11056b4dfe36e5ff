"""Reads of the registry that many clients share: the same question is answered once."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Answers by question.

    A question names all that its answer depends on: who asks, and the number of the newest change.
    """

    def __init__(self, size: int, seconds: float = math.inf) -> None:
        """Keep the answers to the last questions.

        Args:
            size: questions at most.
            seconds: that an answer is kept, where it follows the clock, too.
        """
        self._size = size
        self._seconds = seconds
        self._answers: OrderedDict[Hashable, tuple[float, Future[T]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: Hashable, read: Callable[[], T]) -> T:
        """Return the answer to a question; those who ask while it is being read wait for it.

        Args:
            question: names all that the answer depends on.
            read: reads it; an error is raised for all who wait, and not kept.
        """
        with self._lock:
            known = self._answers.get(question)
            mine = known is None or self._is_old(*known)
            if known is None or mine:
                known = self._answers[question] = (time.monotonic(), Future())
            self._answers.move_to_end(question)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)
        answer = known[1]
        if mine:
            try:
                answer.set_result(read())
            # all who wait must get any error, else they wait for ever
            except BaseException as error:  # noqa: BLE001
                with self._lock:
                    self._answers.pop(question, None)
                answer.set_exception(error)
        return answer.result()

    def _is_old(self, begun: float, answer: Future[T]) -> bool:
        return answer.done() and time.monotonic() - begun > self._seconds
