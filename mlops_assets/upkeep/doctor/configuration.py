"""Check of where settings come from: names only, never their values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mlops_assets.settings import configuration_names, current_environment, read_configuration
from mlops_assets.upkeep.doctor.finding import WARNING, Finding

_READABLE_BY_ALL = 0o004


def examine_configuration() -> Iterator[Finding]:
    """Yield which variables `MLOPS_CONFIG` has set, from which folders, and what it ignores.

    Raises:
        SettingsError: it names what cannot be read, or holds a wrong value.
    """
    text = current_environment().get("MLOPS_CONFIG", "")
    if not text:
        yield Finding("configuration", True, "environment variables; MLOPS_CONFIG is not set")
        return
    found, applied = read_configuration(text), configuration_names()
    names: dict[Path, list[str]] = defaultdict(list)
    for name, source in sorted(found.sources.items()):
        place = source if source.suffix == ".env" else source.parent
        names[place].append(name if name in applied else f"{name} (the environment wins)")
    for place, held in names.items():
        yield Finding("configuration", True, f"{place}: {', '.join(held)}")
    if not names:
        yield Finding(
            "configuration", False, f"{text} holds no variable; see docs/workspace-integration.md"
        )
    if found.ignored:
        yield Finding(
            "configuration",
            True,
            f"{WARNING}{', '.join(found.ignored)}: not a name that is read, is it misspelt?",
        )
    exposed = [
        str(source)
        for name, source in found.sources.items()
        if any(part in name for part in ("SECRET", "PASSWORD", "TOKEN", "REGISTRY"))
        and source.stat().st_mode & _READABLE_BY_ALL
        and source.parent.stat().st_mode & _READABLE_BY_ALL
    ]
    if exposed:
        yield Finding(
            "configuration",
            True,
            f"{WARNING}every user of this machine can read {', '.join(exposed)}: mount it with"
            " defaultMode 0440 and fsGroup, or chmod o-r",
        )
