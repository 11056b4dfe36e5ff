"""The bytes of a workspace: URLs, atomic writes, content-addressed objects.

What the bytes mean (versions, runs, models) belongs to the layers above.
"""

from mlops_assets.storage.checksums import sha256_of
from mlops_assets.storage.workspace import FileStat, Workspace

__all__ = ["FileStat", "Workspace", "sha256_of"]
