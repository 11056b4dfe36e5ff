"""An inference request without HTTP: large texts."""

from __future__ import annotations

import traceback

import pytest

from mlops_assets.errors import RequestRefused
from mlops_assets.principals import local
from mlops_assets.serving import inference
from mlops_assets.serving.inference import Inference, Question
from mlops_assets.serving.protocol.request import InferenceRequest
from mlops_assets.serving.sessions.interface import ServedVersion
from mlops_assets.serving.visible_versions import VisibleVersions
from mlops_assets.store import Store
from mlops_assets_tests.serving.models import MemoryRepository, session


@pytest.mark.parametrize("length", [None, "13", "0013", "١٣"])
def test_large_texts_are_read_one_after_the_other_and_freed_when_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, length: str | None
) -> None:
    monkeypatch.setattr(inference, "LARGE_JSON", 10)
    locked = []

    class Watched(Inference):
        def _parsed(self, question: Question, served: ServedVersion) -> InferenceRequest:
            locked.append(self._large.locked())
            return super()._parsed(question, served)

    visible = VisibleVersions(store.registry)
    watched = Watched(MemoryRepository(session("cnn")), None, visible, finite=False)
    question = Question("cnn", None, b'{"inputs": 1}', length, local("tester"))
    with pytest.raises(RequestRefused) as found:
        watched.answer(question)
    assert locked == [True]
    # a frame of the reader would keep the values
    assert "request.py" not in "".join(traceback.format_exception(found.value))
