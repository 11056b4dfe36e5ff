"""Map tiles of another host, which are shown only where a setting names one."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from mlops_assets.errors import SettingsError
from mlops_assets.settings import map_tiles
from mlops_assets.text.secret_urls import redacted

_SUBDOMAIN = "{s}."
_WANTED = "write https://HOST/{z}/{x}/{y}.png, a space, and the attribution that the host asks for"


@dataclass(frozen=True)
class Tiles:
    """Tiles of a host.

    Attributes:
        template: URL with `{z}`, `{x}` and `{y}`, and maybe `{s}` for Leaflet's subdomains a, b, c.
        attribution: text that maps show.
    """

    template: str
    attribution: str

    @property
    def origin(self) -> str:
        """The source that a Content-Security-Policy must allow for images."""
        parts = urlsplit(self.template)
        host = parts.netloc
        if host.startswith(_SUBDOMAIN):
            host = f"*.{host.removeprefix(_SUBDOMAIN)}"
        return f"{parts.scheme}://{host}"


def declared_tiles() -> Tiles | None:
    """Return the tiles that `MLOPS_TILES` names, None without it.

    Raises:
        SettingsError: it is not the URL template of tiles.
    """
    value = map_tiles()
    if not value:
        return None
    template, _, attribution = value.partition(" ")
    parts = urlsplit(template)
    host = parts.netloc.removeprefix(_SUBDOMAIN)
    usable = parts.scheme in ("http", "https") and host and "@" not in host and "{" not in host
    # what a policy's header would read as something else
    if not usable or any(part not in template for part in ("{z}", "{x}", "{y}")) or ";" in host:
        raise SettingsError(f"MLOPS_TILES={redacted(value)}: {_WANTED}")
    return Tiles(template, attribution.strip() or host)


def tile_origin() -> str | None:
    """Return the source of tiles that `img-src` of a page's policy must have, None without tiles.

    Raises:
        SettingsError: `MLOPS_TILES` is not the URL template of tiles.
    """
    tiles = declared_tiles()
    return None if tiles is None else tiles.origin
