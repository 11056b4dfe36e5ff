"""The process below `mlops up`: Dagster's own `dg dev`, interrupted when its parent is gone.

Its arguments are those of `dg dev`.
"""

from __future__ import annotations

import signal
import sys

from mlops_assets.training.process.child_process import signal_without_parent


def main() -> None:
    """Run `dg dev` until it is interrupted."""
    from dagster_dg_cli.cli import cli as dg

    # what a shell starts in the background ignores SIGINT, and then all of Dagster's processes do
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal_without_parent(signal.SIGINT)
    dg(["dev", *sys.argv[1:]], prog_name="dg")


if __name__ == "__main__":
    main()
