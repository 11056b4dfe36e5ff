"""Our side of a comparison: a workspace of its own and one dataset, in fresh processes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Measured, clean_environment, run_measured, take_steps

_MLOPS = str(Path(sys.executable).with_name("mlops"))
_DATASET = "chips"


@dataclass(frozen=True)
class OurProject:
    """A dataset of images, and a folder with its registry and caches.

    Attributes:
        folder: where everything of it is but the workspace.
        data: the landing.
        environment: what its processes see; names the workspace.
    """

    folder: Path
    data: Path
    environment: Mapping[str, str]

    @classmethod
    def make(
        cls,
        folder: Path,
        workspace: str,
        environment: Mapping[str, str] | None = None,
        landing: Path | None = None,
    ) -> OurProject:
        """Make the folder, for data versions in `workspace`, a URL.

        Data lands in it unless `landing` is given.
        """
        folder.mkdir(parents=True)
        own = {
            "MLOPS_WORKSPACE": workspace,
            "MLOPS_REGISTRY": f"sqlite:///{folder}/registry.db",
            "MLOPS_CACHE": str(folder / "cache"),
            "DAGSTER_HOME": str(folder / "dagster"),
        }
        return cls(
            folder, landing or folder / "landing", {**(environment or clean_environment()), **own}
        )

    def commit_in_process(self) -> Measured:
        """Commit the landing in a fresh process; imports are not counted."""
        return self._take(f"commit={self.data}")

    def recall(self, copy: bool = False) -> Measured:
        """Write the newest version back into a new folder, in a fresh process.

        Imports are not counted.
        """
        target = self.folder / "recalled"
        shutil.rmtree(target, ignore_errors=True)
        return self._take(f"{'recall_copy' if copy else 'recall'}={target}")

    def forget_copies(self) -> None:
        """Remove local copies of remote files, as on a machine that never had them."""
        shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def declare(self) -> None:
        """Declare the dataset in a project, as a user does, for `commit`."""
        run_measured([[_MLOPS, "init", str(self._project)]], clean_environment(), self.folder)
        defs = self._project / self._project.name / "defs"
        shutil.rmtree(defs / "samples")
        (defs / _DATASET).mkdir()
        declared = {
            "type": "mlops_assets.components.TrainingDataset",
            "attributes": {
                "name": _DATASET,
                "source": {"url": str(self.data), "layout": "image_folder"},
            },
        }
        (defs / _DATASET / "defs.yaml").write_text(json.dumps(declared))  # JSON is YAML too

    def commit(self) -> Measured:
        """Run `mlops dataset commit --no-assess`; its start-up is counted."""
        return run_measured(
            [[_MLOPS, "dataset", "commit", _DATASET, "--no-assess"]],
            self.environment,
            self._project,
        )

    @property
    def _project(self) -> Path:
        return self.folder / "measured"

    def _take(self, step: str) -> Measured:
        return take_steps(
            "benchmarks.our_steps", step, environment=self.environment, folder=self.folder
        )
