"""One sample: a large chip, its values, files and neighbours."""

from __future__ import annotations

from urllib.parse import urlencode

from nicegui import ui

from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.frame import problem
from mlops_assets.hub.pages.parts.cards import card, facts, table, title
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.texts import checksum, number, size, text
from mlops_assets.hub.views.addresses import data_path
from mlops_assets.hub.views.samples.sample import BandValue, SampleDetail, sample_detail
from mlops_assets.names import Reference

SIDE = 480  # pixels
MAX_LISTED = 300  # bands in the table


async def show_sample(reference: Reference, index: int, bands: str | None, back: str) -> None:
    """Build the page of one sample.

    Args:
        reference: to the data version, as in the address.
        index: position of the sample.
        bands: of the picture; None for all that are offered.
        back: address of the list.
    """
    found = await read(sample_detail, reference, index)
    version = Reference(found.dataset, found.version)
    title(f"Sample {index} of {reference}", kind="Training data")
    with ui.element("nav").classes("hub-pages") as navigation:
        navigation.props["aria-label"] = "Samples"
        ui.link("All samples", back).classes("hub-button")
        for label, other in (("Previous", index - 1), ("Next", index + 1)):
            if 0 <= other < found.samples:
                query = urlencode({"sample": other, **({"bands": bands} if bands else {})})
                ui.link(label, f"{data_path(reference)}/samples?{query}").classes("hub-button")
    if found.problem is not None:
        problem(found.problem)
    with ui.element("div").classes("hub-grid"):
        _pictures(found, bands)
        _facts(found, version)
    if found.values:
        _values(found)
    if found.neighbours:
        _neighbours(found, version)


def _pictures(found: SampleDetail, bands: str | None) -> None:
    pictures = {one.title: one.query for one in found.composites}
    if bands and bands not in (
        *pictures.values(),
        *(one.name for one in found.composites),
    ):
        pictures = {f"Bands {bands}": bands, **pictures}
    labelled = found.kind in ("patch", "window") and found.composites
    with card("Pictures"), ui.element("div").classes("hub-pictures"):
        if found.kind == "row":
            _picture(found, "Features, with the median of training in grey", {})
        for name, query in pictures.items():
            _picture(found, name, {"bands": query})
        if labelled:
            name = next(iter(pictures))
            _picture(found, "Labels", {"bands": pictures[name], "labels": "true"})


def _picture(found: SampleDetail, caption: str, query: dict[str, str]) -> None:
    with ui.element("figure").classes("hub-figure"):
        picture = ui.element("img").classes("hub-chip-picture")
        asked = urlencode({**query, "size": SIDE, "placeholder": "true"})
        picture.props.update(
            {
                "src": (
                    f"/api/v1/datasets/{found.dataset}/{found.version}"
                    f"/samples/{found.sample.index}.png?{asked}"
                ),
                "alt": f"Sample {found.sample.index}: {caption}",
                "loading": "lazy",
            }
        )
        text("figcaption", caption)


def _facts(found: SampleDetail, version: Reference) -> None:
    row = found.sample
    label = row.label if isinstance(row.label, str) else number(row.label)
    with card("Facts"):
        facts(
            {
                "Data version": lambda: data_link(version),
                "Label": "one for each pixel" if found.kind == "window" else label,
                "Split": row.split.replace("_", " "),
                **({"Left out because": row.reason} if row.reason else {}),
                **({"Group": row.group} if row.group else {}),
                **({"Suspected of": _suspicion(found)} if row.suspicion else {}),
                "File": row.path,
                **({"Place in it": row.place} if row.place else {}),
                "Longitude, latitude": _place(row.longitude, row.latitude),
                "Time": row.time or "unknown",
            }
        )
        table(
            "Files that the sample is read from",
            ["Path", "Size", "SHA-256", "Type", "CRS"],
            [
                [
                    file.path,
                    size(file.size),
                    lambda file=file: checksum(file.sha256),  # type: ignore[misc]
                    file.dtype,
                    file.crs,
                ]
                for file in found.files
            ],
            numeric=["Size"],
        )


def _suspicion(found: SampleDetail) -> str:
    suspicion = found.sample.suspicion
    if suspicion is None:
        return ""
    given, likely = (
        label if isinstance(label, str) else number(label)
        for label in (suspicion.given, suspicion.likely)
    )
    return f"being {likely}, not {given} (number {suspicion.rank} of the quality report)"


def _place(longitude: float | None, latitude: float | None) -> str:
    if longitude is None or latitude is None:
        return "unknown"
    return f"{longitude:.6f}°, {latitude:.6f}° (WGS 84)"


def _values(found: SampleDetail) -> None:
    meanings = {
        "row": "values of the row",
        "patch": "values of the centre pixel",
        "window": "means of the pixels with data",
        "image": "means of the pixels with data",
    }
    many = len(found.values) > 1
    with card("Spectrum" if found.kind != "row" else "Features", note=meanings[found.kind]):
        if many:
            _chart(found.values)
        with ui.element("details"):
            text("summary", f"All {len(found.values)} values")
            table(
                "Values of all bands",
                ["Band", "Value", "Unit", "Wavelength (µm)", "1 % to 99 % of training"],
                [
                    [
                        band.name,
                        number(band.value),
                        band.unit,
                        number(band.wavelength),
                        f"{number(band.low)} … {number(band.high)}",
                    ]
                    for band in found.values[:MAX_LISTED]
                ],
                numeric=["Value", "Wavelength (µm)", "1 % to 99 % of training"],
            )
        if len(found.values) > MAX_LISTED:
            text("p", f"The first {MAX_LISTED}; the REST API returns all.", "hub-note")


def _chart(values: list[BandValue]) -> None:
    by_wavelength = all(band.wavelength is not None for band in values)
    shown = sorted(values, key=lambda band: band.wavelength or 0) if by_wavelength else values
    axis: dict[str, object] = {"type": "category", "data": [band.name for band in shown]}
    if by_wavelength:
        axis = {"type": "value", "name": "µm", "scale": True}

    def line(name: str, numbers: list[float | None], colour: str, kind: str) -> dict[str, object]:
        places: list[object] = list(numbers)
        if by_wavelength:
            places = [[band.wavelength, value] for band, value in zip(shown, numbers, strict=True)]
        return {
            "name": name,
            "type": "line",
            "data": places,
            "showSymbol": len(shown) <= 30,
            "lineStyle": {"color": colour, "width": 2, "type": kind},
            "itemStyle": {"color": colour},
        }

    series = [line("this sample", [band.value for band in shown], "#4477aa", "solid")]
    if any(band.median is not None for band in shown):
        series += [
            line("median of training", [band.median for band in shown], "#8a8a8a", "solid"),
            line("1 % of training", [band.low for band in shown], "#8a8a8a", "dotted"),
            line("99 % of training", [band.high for band in shown], "#8a8a8a", "dotted"),
        ]
    grey = {"color": "#8a8a8a"}
    chart = ui.echart(
        {
            "animation": False,
            "tooltip": {"trigger": "axis"},
            "legend": {"top": 0, "left": 0, "textStyle": grey},
            "grid": {"left": 56, "right": 16, "top": 48, "bottom": 32},
            "xAxis": {**axis, "axisLabel": grey, "nameTextStyle": grey},
            "yAxis": {"type": "value", "scale": True, "axisLabel": grey,
                      "splitLine": {"lineStyle": {"color": "#8a8a8a55"}}},
            "series": series,
        }
    ).classes("hub-spectrum")  # fmt: skip
    chart.props.update({"role": "img", "aria-label": "Line chart; the table below has its values"})


def _neighbours(found: SampleDetail, version: Reference) -> None:
    unit = found.neighbours[0].unit

    def link(index: int) -> ui.link:
        return ui.link(str(index), f"{data_path(version)}/samples?sample={index}")

    with card("Nearest samples"):
        table(
            "Nearest samples",
            ["Sample", f"Distance ({unit})", "Label", "Split", "Place"],
            [
                [
                    lambda index=one.sample.index: link(index),  # type: ignore[misc]
                    number(one.distance),
                    one.sample.label
                    if isinstance(one.sample.label, str)
                    else number(one.sample.label),
                    one.sample.split.replace("_", " "),
                    one.sample.place or one.sample.path,
                ]
                for one in found.neighbours
            ],
            numeric=[f"Distance ({unit})"],
        )
