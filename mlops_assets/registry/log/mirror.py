"""The mirror of the chained log.

Each entry is also an object of the workspace, as it is in the registry.

Entries are written after their transaction, oldest first, so that missing ones are always the
newest. Appending and verifying write those that a killed process has left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import LOG, log_entry_key
from mlops_assets.storage import Workspace


class Mirror:
    """The mirrored entries of one workspace.

    Attributes:
        workspace: where they are.
        newest: the newest entry that this process has seen there, with all before it.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.newest = 0

    def write(self, seq: int, entry: str, entries: Callable[[int, int], Iterable[str]]) -> None:
        """Write an appended entry, and those before it that are missing.

        Nothing is written if the workspace cannot be written.

        Args:
            seq: its number.
            entry: its text.
            entries: gives the texts of a range of entries, first and last included.
        """
        try:
            first = self._first_missing(seq)
            before = entries(first, seq - 1) if first < seq else []
            for number, text in enumerate([*before, entry], first):
                self.workspace.put(log_entry_key(number), text.encode())
            self.newest = max(self.newest, seq)
        except StorageError:  # the transaction is done; the next that is appended writes it
            return

    def require_known(self, newest: Callable[[], int]) -> None:
        """Check that the registry has every entry that the workspace has.

        It is checked before anything is written over an entry of another registry.

        Args:
            newest: gives the number of the registry's newest entry.

        Raises:
            IntegrityError: it has not, so that it is not the registry that has written the log.
        """
        seq = -1
        # another process may append meanwhile
        while not self.newest and (found := newest()) != seq:
            seq = found
            try:
                if not self.workspace.exists(log_entry_key(seq + 1)):
                    return
            except StorageError:  # recording does not depend on the mirror
                return
        if not self.newest:
            entry = self.workspace.where(log_entry_key(seq + 1))
            raise IntegrityError(
                f"{entry} is an entry of the log that the registry does not have: it is new, older,"
                " or of another workspace; nothing was recorded; check MLOPS_REGISTRY, restore a"
                " newer backup, or rebuild it with 'mlops reindex'"
            )

    def _first_missing(self, seq: int) -> int:
        """Return the first entry to be written, where `seq` is the newest."""
        first = seq
        while first - 1 > self.newest and not self.workspace.exists(log_entry_key(first - 1)):
            first -= 1
        return first


def mirrored(workspace: Workspace) -> list[str]:
    """Return the keys below the folder of entries, in their order.

    Raises:
        StorageError: they cannot be listed.
    """
    return sorted(workspace.list(LOG))
