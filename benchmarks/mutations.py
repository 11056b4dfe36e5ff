"""`python -m benchmarks.mutations [NAME …]`.

Plant one fault at a time in the core, and see which test catches it.

Nothing is timed; this measures what the tests are worth. The faults are in `planted`, or in a JSON
file with the same fields that whoever changes the tests has not seen. The exit code is 1 if a fault
survives unexpectedly.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.planted import PLANTED, Mutation
from benchmarks.processes import ROOT

TESTS = "mlops_assets_tests"
# what a checkout with other tests replaces; pytest's settings go with them
OF_TESTS = (
    f"{TESTS}/",
    "pyproject.toml",
)
MARKS = "not frameworks and not services and not browser and not slow"
PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-m", MARKS)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+\.py(?:::.+?)?)(?: - .*)?$", re.MULTILINE)
# exit codes of pytest; others mean that the tests could not be run
_PASSED = 0
_TESTS_FAILED = 1


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run of tests.

    It has the first test that failed, if any, and the CPU seconds of all its processes.
    """

    failed: str | None
    seconds: float


class Copy:
    """A copy of the checkout in which faults are planted; the checkout itself is only read."""

    def __init__(self, folder: Path, tests_from: Path) -> None:
        """Copy the tracked files as they are now.

        The tests are those of another checkout, if that is given.
        """
        self._root = folder / "checkout"
        self._scratch = folder / "tests"
        for source, of_tests in ((ROOT, False), (tests_from, True)):
            listed = subprocess.run(
                ["git", "ls-files", "-z"], cwd=source, capture_output=True, text=True, check=True
            )
            for path in listed.stdout.split("\0"):
                if path and path.startswith(OF_TESTS) == of_tests and (source / path).is_file():
                    (self._root / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / path, self._root / path)
        self._environment = {"MLOPS_TEST_DATA": str(ROOT.parent / "shared" / "data"), **os.environ}
        self._environment["PYTHONPATH"] = str(self._root)
        self._require_imported()

    def plant(self, mutation: Mutation) -> None:
        """Replace the text of a mutation.

        Raises:
            SystemExit: the text is not there exactly once.
        """
        source = (self._root / mutation.file).read_text()
        if source.count(mutation.before) != 1:
            raise SystemExit(
                f"{mutation.name}: {mutation.file} has the text {source.count(mutation.before)}"
                f" times, not once; adapt the mutation:\n{mutation.before}"
            )
        self._write(mutation.file, source.replace(mutation.before, mutation.after))

    def repair(self, mutation: Mutation) -> None:
        """Put the file of a mutation back as it was."""
        self._write(mutation.file, (ROOT / mutation.file).read_text())

    def test(self, tests: Iterable[str]) -> Outcome:
        """Run test files or folders until the first failure.

        Raises:
            SystemExit: they could not be run.
        """
        before = _cpu_seconds()
        command = [
            sys.executable,
            *PYTEST,
            f"--basetemp={self._scratch}",
            *(f"{TESTS}/{path}" for path in tests),
        ]
        done = subprocess.run(
            command,
            cwd=self._root,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self._end_leftovers()
        if done.returncode not in (_PASSED, _TESTS_FAILED):
            raise SystemExit(
                f"{' '.join(command)} exited with"
                f" {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
            )
        found = _FAILED.search(done.stdout) if done.returncode else None
        failed = None
        if done.returncode:
            failed = found[1] if found else "an unnamed test"
        return Outcome(failed and failed.removeprefix(f"{TESTS}/"), _cpu_seconds() - before)

    def _write(self, file: str, text: str) -> None:
        path = self._root / file
        path.write_text(text)
        # bytecode is recognised by size and whole seconds, and a mutation may change neither
        Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)

    def _require_imported(self) -> None:
        """Check that the tests import the copy; with an installed package all faults survive."""
        command = [sys.executable, "-c", "import mlops_assets; print(mlops_assets.__file__)"]
        done = subprocess.run(
            command,
            cwd=self._root.parent,
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        )
        if not Path(done.stdout.strip()).is_relative_to(self._root):
            raise SystemExit(
                f"mlops_assets is imported from {done.stdout.strip()}, not from {self._root}"
            )

    def _end_leftovers(self) -> None:
        """End processes of the tests that a fault has left running.

        They are known by the copy in their environment.
        """
        for process in psutil.process_iter():
            try:
                if process.environ().get("PYTHONPATH") == str(self._root):
                    process.kill()
            except psutil.Error:
                continue


def main() -> None:
    """Run what the command line names, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutations to plant; all if none")
    parser.add_argument(
        "--tests-from",
        type=Path,
        default=ROOT,
        metavar="CHECKOUT",
        help="take the tests from there",
    )
    parser.add_argument(
        "--file", type=Path, help="JSON list of mutations to plant instead of those of the project"
    )
    parser.add_argument(
        "--skip-clean", action="store_true", help="do not run the tests without a fault first"
    )
    arguments = parser.parse_args()
    chosen = _chosen(parser, arguments.file, arguments.names)
    with tempfile.TemporaryDirectory(prefix="mlops-mutations-") as folder:
        copy = Copy(Path(folder).resolve(), arguments.tests_from.resolve())
        if not arguments.skip_clean:
            _require_clean(copy, chosen)
        survived = _plant_all(copy, chosen)
    if survived:
        print(f"survived unexpectedly: {', '.join(survived)}", file=sys.stderr)
    sys.exit(1 if survived else 0)


def _chosen(
    parser: argparse.ArgumentParser, file: Path | None, names: Sequence[str]
) -> list[Mutation]:
    mutations = (
        PLANTED if file is None else [Mutation(**entry) for entry in json.loads(file.read_text())]
    )
    by_name = {mutation.name: mutation for mutation in mutations}
    unknown = sorted(set(names) - by_name.keys())
    if unknown:
        parser.error(f"no mutation {', '.join(unknown)}; choose from {', '.join(by_name)}")
    return [by_name[name] for name in names or by_name]


def _require_clean(copy: Copy, mutations: Iterable[Mutation]) -> None:
    """Check that the tests pass as long as nothing is planted; each set of them once."""
    for tests in dict.fromkeys(tuple(mutation.tests) for mutation in mutations):
        outcome = copy.test(tests)
        if outcome.failed is not None:
            raise SystemExit(
                f"{outcome.failed} fails without any fault, so that its failure proves nothing"
            )
        print(
            f"{' '.join(tests)} pass without a fault, {outcome.seconds:.0f} s of CPU",
            file=sys.stderr,
            flush=True,
        )


def _plant_all(copy: Copy, mutations: Iterable[Mutation]) -> list[str]:
    """Plant one mutation after the other, print a row for each, and return unexpected survivors."""
    survived = []
    print("| mutation | what breaks | where | outcome | CPU s |")
    print("|" + "---|" * 5, flush=True)
    for mutation in mutations:
        copy.plant(mutation)
        outcome = copy.test(mutation.tests)
        copy.repair(mutation)
        if outcome.failed is not None:
            verdict = f"caught by `{outcome.failed}`"
        else:
            verdict = "**SURVIVED**" if mutation.caught else "survived, as is known"
        if outcome.failed is None and mutation.caught:
            survived.append(mutation.name)
        cells = (
            mutation.name,
            mutation.fault,
            f"`{mutation.file}`",
            verdict,
            f"{outcome.seconds:.0f}",
        )
        print("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |", flush=True)
    return survived


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
