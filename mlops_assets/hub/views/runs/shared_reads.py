"""Reads of the registry that many clients share: the same question is answered once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Answers by question.

    A question names all that its answer depends on: who asks, and the number of the newest change.
    """

    def __init__(self, size: int) -> None:
        """Keep the answers to the last `size` questions."""
        self._size = size
        self._answers: OrderedDict[Hashable, Future[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: Hashable, read: Callable[[], T]) -> T:
        """Return the answer to a question; those who ask while it is being read wait for it.

        Args:
            question: names all that the answer depends on.
            read: reads it; an error is raised for all who wait, and not kept.
        """
        with self._lock:
            answer = self._answers.get(question)
            mine = answer is None
            if answer is None:
                answer = self._answers[question] = Future()
            self._answers.move_to_end(question)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)
        if mine:
            try:
                answer.set_result(read())
            # whoever waits must learn of any error, else they wait for ever
            except BaseException as error:  # noqa: BLE001
                with self._lock:
                    self._answers.pop(question, None)
                answer.set_exception(error)
        return answer.result()
