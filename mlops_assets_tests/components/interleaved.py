"""One of several runs on one partition; its later steps wait until all of them have trained.

Usage: python -m mlops_assets_tests.components.interleaved DAGSTER_HOME TREES RUNS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.models.export import export as exporting
from mlops_assets.models.export.parity import ParityReport
from mlops_assets_tests.components.project import definitions


def main(home: str, trees: int, runs: int) -> None:
    export = exporting.export

    def after_all_have_trained(*arguments: Any) -> ParityReport:
        Path(f"trained-{trees}").touch()
        for _ in range(1200):
            if len(list(Path().glob("trained-*"))) == runs:
                return export(*arguments)
            time.sleep(0.1)
        raise TimeoutError("the other run did not train")

    exporting.export = after_all_have_trained  # type: ignore[assignment]
    with dg.DagsterInstance.from_config(home) as instance:
        result = (
            definitions()
            .resolve_job_def("crop_forest_lifecycle")
            .execute_in_process(
                instance=instance,
                partition_key="v1",
                run_config={
                    "ops": {"crop_forest__trained_model": {"config": {"n_estimators": trees}}}
                },
            )
        )
    versions = {}
    for step in ("trained_model", "onnx_model", "applicability", "evaluation", "record"):
        (event,) = result.asset_materializations_for_node(f"crop_forest__{step}")
        versions[step] = event.metadata["model_version"].value
    print(json.dumps({"trees": trees, "success": result.success, "versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
