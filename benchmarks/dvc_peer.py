"""DVC as the peer: an environment of its own, and repositories on the same S3 server as ours.

It is left at its defaults but for what would only cost it time: no git, no usage statistics, no
search for updates.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer_environments import install_peer
from benchmarks.processes import Measured, clean_environment, run_measured, take_steps


def install_dvc() -> Path:
    """Make DVC's environment with pinned versions if needed, and return its folder of programs."""
    return install_peer("dvc")


@dataclass(frozen=True)
class DvcRepository:
    """A repository in a folder of its own, whose data is in `<folder>/data`.

    Attributes:
        programs: where `dvc` and its Python are.
        folder: the repository.
        environment: what its processes see.
    """

    programs: Path
    folder: Path
    environment: Mapping[str, str]

    @classmethod
    def make(
        cls, folder: Path, remote: str | None, environment: Mapping[str, str] | None = None
    ) -> DvcRepository:
        """Make a repository that pushes to the URL `remote`, if one is given."""
        folder.mkdir(parents=True)
        # DVC's caches of the user and the machine are new too
        home = folder.with_name(f"{folder.name}-home")
        home.mkdir()
        own = {"HOME": str(home), "DVC_SITE_CACHE_DIR": str(home / "site"), "DVC_NO_ANALYTICS": "1"}
        repository = cls(install_dvc(), folder, {**(environment or clean_environment()), **own})
        repository.commands(
            ("init", "--no-scm"),
            ("config", "core.analytics", "false"),
            ("config", "core.check_update", "false"),
        )
        if remote is not None:
            endpoint = repository.environment["AWS_ENDPOINT_URL"]
            repository.commands(
                ("remote", "add", "--default", "storage", remote),
                ("remote", "modify", "storage", "endpointurl", endpoint),
            )
        return repository

    @property
    def data(self) -> Path:
        """The folder that is versioned."""
        return self.folder / "data"

    def take(self, *steps: str) -> Measured:
        """Take steps of `benchmarks.dvc_steps` in a fresh process; imports are not counted."""
        python = str(self.programs / "python")
        return take_steps(
            "benchmarks.dvc_steps",
            str(self.folder),
            *steps,
            python=python,
            environment=self.environment,
            folder=self.folder,
        )

    def checkout(self, cache_type: str) -> Measured:
        """Remove the working files, and check them out from the local cache as links or copies."""
        self.commands(("config", "cache.type", cache_type))
        shutil.rmtree(self.data)
        return self.take("checkout")

    def commands(self, *commands: tuple[str, ...]) -> Measured:
        """Run `dvc …` commands one after the other; their start-up is counted."""
        dvc = str(self.programs / "dvc")
        return run_measured(
            [[dvc, *command] for command in commands], self.environment, self.folder
        )

    def forget_data(self) -> None:
        """Remove the working files and the local cache, as on a machine that never had them."""
        shutil.rmtree(self.data)
        shutil.rmtree(self.folder / ".dvc" / "cache")
