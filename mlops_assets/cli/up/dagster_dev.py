"""The process below `mlops up`: Dagster's own `dg dev`, interrupted when its parent is gone.

Its arguments are those of `dg dev`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def main() -> None:
    """Run `dg dev` until it is interrupted."""
    from dagster_dg_cli.cli import cli as dg

    # what a shell starts in the background ignores SIGINT, and then all of Dagster's processes do
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    dg(["dev", *sys.argv[1:]], prog_name="dg")


def _end_with_parent() -> None:
    """Interrupt this process when its parent is gone, which closes the pipe of its input."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
