"""The bytes of a workspace: URLs, atomic writes, content-addressed objects.

What the bytes mean (versions, runs, models) belongs to the layers above.
"""

from mlops_assets.storage.workspace import FileStat, Workspace, sha256_of

__all__ = ["FileStat", "Workspace", "sha256_of"]
