"""The process in which a function makes data of data.

It is started by `python -m mlops_assets.processing.worker REQUEST`, or forked.

`produce` starts it, and reads the outcome that it leaves beside the request.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from mlops_assets.errors import MlopsError, ProcessingError
from mlops_assets.training.process.child_process import (
    ChildOutcome,
    ChildRequest,
    read_request,
    write_outcome,
)
from mlops_assets.training.process.worker import STARTED, Stopped, log_to_output, stop_with_parent

MODULE = "mlops_assets.processing.worker"


class ProcessingRequest(ChildRequest):
    """The request to call a function.

    Attributes:
        function: `package.module:function`.
        inputs: the data versions, `dataset@version`.
        folders: their files, in the same order.
        output: folder that the function writes to.
        directory: scratch folder of the function.
        parameters: values for the function.
        gpus: GPUs that are declared.
    """

    function: str
    inputs: list[str]
    folders: list[Path]
    output: Path
    directory: Path
    parameters: dict[str, object]
    gpus: int


def main(path: Path) -> int:
    """Carry out the request of a file; return the exit code."""
    request = read_request(path, ProcessingRequest)
    log_to_output()
    stop_with_parent()
    try:
        notes = _call(request, path.parent / STARTED)
    except (MlopsError, Stopped) as error:
        write_outcome(path, ChildOutcome(error=type(error).__name__, message=str(error)))
        return 1
    write_outcome(path, ChildOutcome(result=json.dumps(notes)))
    return 0


def _call(request: ProcessingRequest, started: Path) -> list[str]:
    """Call the function; return its notes."""
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
    from mlops_assets.names import Reference
    from mlops_assets.processing.function import ProcessingInput, ProcessingRun, load_processing
    from mlops_assets.training.seeds import seed_everything

    store = request.open_store()
    function = load_processing(request.function)
    parameters = function.parameters(request.parameters)
    inputs = [
        ProcessingInput(
            CommittedDataset.open(store.workspace, store.registry, Reference.parse(reference)),
            folder,
        )
        for reference, folder in zip(request.inputs, request.folders, strict=True)
    ]
    run = ProcessingRun(request.directory, request.gpus)
    # PyTorch takes seconds to import, and most functions do without it
    seed_everything(0, function.framework or "")
    started.touch()
    try:
        function.function(inputs, request.output, parameters, run)
    except Stopped:
        raise
    except BaseException as error:
        traceback.print_exc()
        # unlike str(), it does not fail where the error's own code does
        described = "".join(traceback.format_exception_only(error)).strip()
        raise ProcessingError(
            f"{request.function} failed on {', '.join(request.inputs)}:"
            f" {described}{_where(error, function.file)}; nothing was"
            " committed"
        ) from error
    return run.notes


def _where(error: BaseException, file: Path) -> str:
    """Return the innermost line of the function's own file that an error passed."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file
    ]
    return f" ({file}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
