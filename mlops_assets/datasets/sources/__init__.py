"""Sources of a dataset's new files: folders, buckets, web servers, STAC catalogues.

All have the interface of `Landing`. Listing opens no data file; their content is read in
`datasets/readers`.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.datasets.sources.base import LandedFile, Landing, fingerprint
from mlops_assets.datasets.specification.source import Source
from mlops_assets.storage import Workspace
from mlops_assets.storage.stores import BUCKETS, WEB, join, local_folder

__all__ = ["LandedFile", "Landing", "fingerprint", "landing_url", "open_landing"]


def landing_url(workspace: Workspace, url: str) -> str:
    """Return the absolute URL of a landing.

    Args:
        workspace: where relative paths start.
        url: a path relative to the workspace, an absolute path, or a URL.
    """
    if "://" in url:
        return url.rstrip("/")
    return Path(url).as_uri() if Path(url).is_absolute() else join(workspace.url, url)


def open_landing(workspace: Workspace, source: Source) -> Landing:
    """Return the landing of a source; nothing is read yet.

    Args:
        workspace: where relative paths start.
        source: the declared source.

    Raises:
        StorageError: the store cannot be opened.
    """
    from mlops_assets.datasets.sources.folder import FolderLanding
    from mlops_assets.datasets.sources.http import WebLanding
    from mlops_assets.datasets.sources.object_store import BucketLanding
    from mlops_assets.datasets.sources.stac.landing import StacApiLanding, StacLanding

    url = landing_url(workspace, source.url)
    scheme = urlsplit(url).scheme
    if scheme.startswith("stac+"):
        return StacApiLanding(url.removeprefix("stac+"), source.stac_layout)
    if scheme in WEB and source.layout == "stac":
        return StacLanding(url, None, source.stac_layout)
    found: Landing
    if scheme in BUCKETS:
        found = BucketLanding(url)
    elif scheme in WEB:
        found = WebLanding(url, source.files or [])
    else:
        found = FolderLanding(local_folder(url))
    return StacLanding(url, found, source.stac_layout) if source.layout == "stac" else found
