"""The certificates that our HTTP clients trust."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

from mlops_assets.errors import SettingsError
from mlops_assets.settings import ca_bundle


def trusted_certificates() -> ssl.SSLContext:
    """Return the system's authorities and those of `MLOPS_CA_BUNDLE`.

    They are loaded once, which takes long, and again when the file has changed.

    Raises:
        SettingsError: the file cannot be read, or has no valid certificate.
    """
    bundle = ca_bundle()
    return _loaded(bundle, bundle.stat().st_mtime_ns if bundle else 0)


@functools.lru_cache(maxsize=2)
def _loaded(bundle: Path | None, _changed: int) -> ssl.SSLContext:
    import httpx  # only where there are clients

    context = httpx.create_ssl_context()
    if bundle is not None:
        try:
            context.load_verify_locations(cafile=bundle)
        except ssl.SSLError:
            raise SettingsError(
                f"MLOPS_CA_BUNDLE={bundle} has a certificate that cannot be read: write each in"
                " PEM form, whole"
            ) from None
    return context
