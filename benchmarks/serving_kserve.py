"""ONNX files under KServe's own server; run in its environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import kserve
import numpy as np
import onnxruntime  # noqa: TID253


class OnnxFile(kserve.Model):  # type: ignore[misc]
    """An ONNX file under ONNX Runtime, with one thread that does not spin."""

    def __init__(self, path: Path) -> None:
        """Load the file."""
        super().__init__(path.stem)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options)
        self.ready = True

    def predict(self, payload: Any, *_: Any, **__: Any) -> Any:
        """Return the scores of a request."""
        values = payload.inputs[0].as_numpy().astype(np.float32, copy=False)
        (scores,) = self._session.run(None, {"input": values})
        output = kserve.InferOutput("scores", list(scores.shape), "FP32")
        binary = payload.inputs[0].data is None or payload.use_binary_outputs
        output.set_data_from_numpy(scores, binary_data=binary)
        return kserve.InferResponse(
            payload.id or "1", self.name, [output], use_binary_outputs=payload.use_binary_outputs
        )


if __name__ == "__main__":
    files = [OnnxFile(path) for path in Path(sys.argv[1]).glob("*.onnx")]
    kserve.ModelServer(http_port=int(sys.argv[3]), workers=1, enable_grpc=False).start(files)
