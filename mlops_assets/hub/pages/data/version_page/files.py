"""The files of a data version: filtered, ordered and paged on the server."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.data.parts import SPLITS
from mlops_assets.hub.pages.parts.buttons import button
from mlops_assets.hub.pages.parts.cards import Content, card, table
from mlops_assets.hub.pages.parts.navigation import address, pager, whole
from mlops_assets.hub.pages.parts.texts import NONE, checksum, number, size, text
from mlops_assets.hub.views.data.files.listing import (
    FileQuery,
    FilesView,
    VersionFile,
    version_files,
)
from mlops_assets.hub.views.data.files.manifest_columns import Order
from mlops_assets.hub.views.data.version import DataVersionView
from mlops_assets.names import Reference

COLUMNS = ("File", "Holds", "Split", "Class", "Size", "sha256", "Kept in")
ORDERS: dict[str, Order] = {"path": "path", "largest": "largest", "smallest": "smallest"}
ANY = "any"
MAX_NAMED = 3  # classes in one cell
MAX_TEXT = 255


class FilesPart:
    """The files of a data version, as the address of the page asks for them."""

    def __init__(self, path: str, version: DataVersionView) -> None:
        self.path = path
        self.version = version
        query = ui.context.client.request.query_params
        self.text = query.get("text", "")[:MAX_TEXT]
        self.split = query.get("split") or None
        self.label = query.get("class") or None
        self.order = ORDERS.get(query.get("order", ""), "path")
        self.page = whole(query.get("page"))

    async def build(self) -> None:
        """Add the filter and the table."""
        reference = Reference.parse(self.version.version.reference)
        asked = FileQuery(self.text, self.split, self.label, self.order, self.page)
        found = await read(version_files, reference, asked)
        with card("Files"):
            self._filter()
            self._count(found)
            if found.listed:
                table("Files", COLUMNS, [_row(each) for each in found.listed], ["Size"])
            pager(self.path, self._query(), found.page, found.rows, found.matching)

    def _query(self) -> dict[str, object]:
        order = None if self.order == "path" else self.order
        return {
            "tab": "files",
            "text": self.text,
            "split": self.split,
            "class": self.label,
            "order": order,
        }

    def _filter(self) -> None:
        names = [each.name for each in self.version.classes]
        splits = [ANY, *SPLITS, "left out"]
        with ui.element("div").classes("hub-row hub-fields"):
            path = ui.input("Path contains", value=self.text).classes("w-64")
            path.props(f"outlined dense maxlength={MAX_TEXT}")
            split = ui.select(splits, label="Split", value=_among(self.split, splits))
            split.classes("w-32")
            kind = None
            if names:
                kind = ui.select(
                    [ANY, *names], label="Class", value=_among(self.label, names), with_input=True
                ).classes("w-48")
            order = ui.select(list(ORDERS), label="Order by", value=self.order).classes("w-32")
            for field in (split, kind, order):
                if field is not None:
                    field.props("outlined dense options-dense")

            async def apply() -> None:
                self.text = str(path.value or "")
                self.split = None if split.value == ANY else str(split.value)
                chosen = None if kind is None else kind.value
                self.label = None if chosen in (None, ANY) else str(chosen)
                self.order = ORDERS[str(order.value)]
                ui.navigate.to(address(self.path, self._query()))

            path.on("keydown.enter", apply)
            button("Filter", apply)

    def _count(self, found: FilesView) -> None:
        if found.matching == found.files:
            text("p", f"{found.files:,} file(s)", "hub-note")
        else:
            text("p", f"{found.matching:,} of {found.files:,} file(s) match", "hub-note")
        if found.matching and not found.listed:
            text("p", "There is no such page.")


def _among(value: str | None, known: Sequence[str]) -> str:
    return value if value is not None and value in known else ANY


def _row(each: VersionFile) -> Sequence[Content]:
    file = each.file
    splits = [
        name if len(each.splits) == 1 and count == 1 else f"{name} {number(count)}"
        for name, count in each.splits.items()
    ]
    labels = sorted(each.labels, key=lambda name: -each.labels[name])
    more = [f"… {len(labels) - MAX_NAMED} more"] if len(labels) > MAX_NAMED else []
    return (
        lambda: text("span", file.path, "hub-path"),
        file.role,
        ", ".join(splits) or NONE,
        ", ".join([*labels[:MAX_NAMED], *more]) or NONE,
        size(file.size),
        lambda: checksum(file.sha256),
        file.kept,
    )
