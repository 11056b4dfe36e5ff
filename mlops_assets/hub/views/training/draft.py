"""What a user has entered into the form that starts a training, as text.

A draft is kept in the address of the page, so that a reload or a new sign-in loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

_PARAMETER, _COMPUTE, _SPACE, _SEARCH = "p.", "c.", "space.", "sweep."
# longer addresses are refused by some proxies
MAX_QUERY = 6_000


@dataclass(frozen=True)
class Draft:
    """The texts of the form; those that the user has not changed are missing.

    Attributes:
        data: version or tag; empty if none was chosen.
        parameters: parameter → value.
        seed: of the run.
        compute: resource → value.
        tags: `NAME=VALUE`, one a line.
        note: first note of the run.
        sweep: whether a sweep is started, not one run.
        space: parameter → values to search, as in the file of `mlops sweep`.
        search: setting of the sweep → value.
    """

    data: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    seed: str = ""
    compute: Mapping[str, str] = field(default_factory=dict)
    tags: str = ""
    note: str = ""
    sweep: bool = False
    space: Mapping[str, str] = field(default_factory=dict)
    search: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, query: Iterable[tuple[str, str]]) -> Draft:
        """Return the draft of an address; what it does not know is left out."""
        pairs = dict(query)
        return cls(
            data=pairs.get("data", ""),
            parameters=_below(pairs, _PARAMETER),
            seed=pairs.get("seed", ""),
            compute=_below(pairs, _COMPUTE),
            tags=pairs.get("tags", ""),
            note=pairs.get("note", ""),
            sweep="sweep" in pairs,
            space=_below(pairs, _SPACE),
            search=_below(pairs, _SEARCH),
        )

    def query(self) -> dict[str, str]:
        """Return the draft as parameters of an address, which `read` reads."""
        own = {"data": self.data, "seed": self.seed, "tags": self.tags, "note": self.note}
        return {
            **{name: text for name, text in own.items() if text},
            **_above(self.parameters, _PARAMETER),
            **_above(self.compute, _COMPUTE),
            **({"sweep": "1"} if self.sweep else {}),
            **_above(self.space, _SPACE),
            **_above(self.search, _SEARCH),
        }

    def address(self, path: str, **named: str) -> str | None:
        """Return the address of the page with this draft; None if it is too long for one.

        Args:
            path: of the page.
            named: parameters of the address besides the draft; empty ones are left out.
        """
        text = urlencode({name: v for name, v in named.items() if v} | self.query())
        return f"{path}?{text}" if len(text) <= MAX_QUERY else None

    def with_text(self, group: str, name: str, text: str | None) -> Draft:
        """Return a draft with one text of a group changed, or left out if it is None."""
        texts = {key: value for key, value in getattr(self, group).items() if key != name}
        if text is not None:
            texts[name] = text
        return replace(self, **{group: texts})  # type: ignore[arg-type]


def _below(pairs: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): text for key, text in pairs.items() if key.startswith(prefix)}


def _above(texts: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {prefix + name: text for name, text in texts.items()}
