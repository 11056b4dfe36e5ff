"""ONNX files as a runtime of MLServer; run in its environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # noqa: TID253
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxFile(MLModel):  # type: ignore[misc]
    """An ONNX file under ONNX Runtime, with one thread that does not spin."""

    async def load(self) -> bool:
        """Load the file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload: Any) -> Any:
        """Return the scores of a request."""
        values = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        (scores,) = self._session.run(None, {"input": values})
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)]
        )


def write_settings(folder: Path, host: str, port: int) -> Path:
    """Write the settings of a server without child processes, and return their folder."""
    settings = folder / f"mlserver-{port}"
    shared = {
        "host": host,
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "metrics_dir": str(settings),
        "parallel_workers": 0,
    }
    settings.mkdir()
    (settings / "settings.json").write_text(json.dumps(shared))
    for path in folder.glob("*.onnx"):
        (settings / path.stem).mkdir()
        own = {
            "name": path.stem,
            "implementation": f"{OnnxFile.__module__}.OnnxFile",
            "parameters": {"uri": str(path)},
        }
        (settings / path.stem / "model-settings.json").write_text(json.dumps(own))
    return settings


if __name__ == "__main__":
    from mlserver.cli import main

    from benchmarks import serving_mlserver

    found = serving_mlserver.write_settings(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    sys.argv[1:] = ["start", str(found)]
    main()
