"""Commits of very many files of 3 kB (the case of DVC's issue 7607) at growing sizes.

They show whether time is linear, and the peak memory.

The workspace is a folder on the same disk; each size begins with a new one. DVC adds the same files
to its local cache.
"""

from __future__ import annotations

import shutil
import sys

from benchmarks.dvc_peer import DvcRepository, install_dvc
from benchmarks.landings import CHIP_3KB, add_chips, settle
from benchmarks.options import Options
from benchmarks.our_project import OurProject
from benchmarks.processes import Measured
from benchmarks.tables import print_table

_SIZES = (25_000, 50_000, 100_000)
_ALL_SIZES = (100_000, 200_000, 400_000, 600_000, 1_000_000)
_PEER_UP_TO = 25_000  # files; it takes minutes beyond
_PEER_UP_TO_ALL = 100_000


def measure(options: Options) -> None:
    """Print seconds, files a second and peak memory for each size."""
    install_dvc()
    rows = []
    landing = options.folder / "landing"
    landed = 0
    for size in _ALL_SIZES if options.all else _SIZES:
        add_chips(landing, range(landed, size), CHIP_3KB)
        landed = size
        folder = options.folder / str(size)
        ours = OurProject.make(folder / "ours", (folder / "workspace").as_uri(), landing=landing)
        settle()
        first = ours.commit_in_process()
        again = ours.commit_in_process()
        if first.facts["files"] != size:
            raise RuntimeError(f"{first.facts['files']:.0f} of {size} files were committed")
        print(f"{size}: {first.seconds}, again {again.seconds}", file=sys.stderr, flush=True)
        peer = None
        if size <= (_PEER_UP_TO_ALL if options.all else _PEER_UP_TO):
            repository = DvcRepository.make(folder / "dvc", None)
            shutil.copytree(landing, repository.data)
            settle()
            peer = repository.take("add")
        rows.append(
            (
                f"{size:,}",
                *_figures(first, size),
                *_figures(again, size)[::2],
                *_figures(peer, size),
            )
        )
        shutil.rmtree(folder)
    ours_first = ("commit, s", "files/s", "peak MiB")
    ours_again = (
        "again, unchanged, s",
        "peak MiB",
    )
    print_table(("files", *ours_first, *ours_again, "`dvc add`, s", "files/s", "peak MiB"), rows)


def _figures(measured: Measured | None, files: int) -> tuple[str, str, str]:
    if measured is None:
        return "", "", ""
    return (
        f"{measured.total:.1f}",
        f"{files / measured.total:,.0f}",
        f"{measured.peak_mib or 0:.0f}",
    )
