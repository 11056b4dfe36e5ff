"""The report of a monitored day: literal text, figures, and the page in a browser."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlops_assets.monitoring.document import (
    Drift,
    DriftMeasures,
    Estimate,
    FeatureDrift,
    Interval,
    Live,
    MappedArea,
    MonitoringDocument,
    Outside,
    Quality,
    Rule,
    VersionDay,
)
from mlops_assets.monitoring.report.figures import (
    MetricDay,
    class_shares,
    dissimilarity_histogram,
    drift_bars,
    metric_history,
    number_histogram,
)
from mlops_assets.monitoring.report.page import page, summary
from mlops_assets_tests.monitoring.monitored import version_day
from mlops_assets_tests.services import require_program
from mlops_assets_tests.test_browser import CHROMIUM

HOSTILE = "<img src=x onerror=alert(1)>$x_1$\x1b[31m"
TEST = {"accuracy": 0.91, "macro_f1": 0.9}


def measures(psi: float, count: int = 20) -> DriftMeasures:
    """Drift of features, one with a hostile name."""
    names = [HOSTILE, *(f"B{number:02} mean" for number in range(1, count))]
    features = [
        FeatureDrift(
            name=name,
            ks=0.1,
            wasserstein=0.2,
            psi=psi / (place + 1),
            jensen_shannon=0.1,
            missing=0.01,
        )
        for place, name in enumerate(names)
    ]
    return DriftMeasures(samples=900, features=features, separation=0.7, prediction_shift=0.1)


def interval(value: float) -> Interval:
    return Interval(value=value, lower=value - 0.03, upper=value + 0.03, samples=800)


def full_day() -> VersionDay:
    """A version's day that has everything."""
    metrics = {name: interval(value - 0.15) for name, value in TEST.items()}
    return version_day(max_drift="failed", max_outside="warned", max_loss="passed").model_copy(
        update={
            "quality": Quality(samples=1200, kept=900, invalid=0.02, beyond=0.1, constant=["B09"]),
            "latency_ms": {"p50": 1.2, "p95": 3.4, "p99": 8.0},
            "outside": Outside(share=0.31, samples=900, test=0.05),
            "drift": Drift(day=measures(0.6), test=measures(0.05)),
            "live": Live(
                samples=800,
                total=1200,
                metrics=metrics,
                test=TEST,
                slices={HOSTILE: {HOSTILE: metrics}},
            ),
            "estimate": Estimate(
                metric="accuracy",
                value=interval(0.8),
                not_estimable=0.31,
                method="calibrated confidence",
            ),
            "maps": [MappedArea(name="valley/2026-11-02", area="valley", outside=0.12)],
        }
    )


def document(*versions: VersionDay) -> MonitoringDocument:
    """The document of these versions."""
    return MonitoringDocument(
        model="crops",
        day="2026-11-02",
        software={"numpy": "2"},
        inputs={"inference/crops/2026-11-02/requests.parquet": "ab" * 32},
        dropped=7,
        versions=list(versions),
    )


def drawn_figures() -> dict[str, bytes]:
    """All figures of a day."""
    rng = np.random.default_rng(0)
    history = [
        MetricDay(
            f"2026-10-{day:02}",
            interval(0.9 - day / 200) if day < 20 else None,
            interval(0.91 - day / 180),
            0.91,
        )
        for day in range(1, 31)
    ]
    found = {
        "metric": metric_history("accuracy", history),
        "applicability": dissimilarity_histogram(rng.gamma(2, 0.2, 1000), 0.6),
        "drift": drift_bars(Drift(day=measures(0.6), test=measures(0.05)), [0.1, 0.25]),
        "predictions": class_shares([HOSTILE, "wheat"], rng.integers(-1, 2, 500).astype(np.int32)),
    }
    return {name: png for name, png in found.items() if png is not None}


def test_why_nothing_was_estimated_is_the_only_reason_on_the_page() -> None:
    unlike = Estimate(
        metric="accuracy", value=None, not_estimable=1, method="m", reason="0.9 is the AUC"
    )
    own = full_day().model_copy(update={"estimate": unlike})
    text = page(document(own), {"v1-a": {}}, {"v1-a": TEST})
    assert "accuracy cannot be estimated: 0.9 is the AUC." in text
    assert "as they are outside" not in text


def test_text_of_others_is_literal_on_the_page() -> None:
    text = page(document(full_day()), {"v1-a": {}}, {"v1-a": TEST})
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "The log has dropped 7 requests" in text


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ([], "No request was logged"),
        ([version_day(max_drift="passed")], "1,000 requests to 1 version: all rules passed."),
        (
            [version_day(max_drift="failed"), version_day("v2", max_loss="unknown")],
            "2,000 requests to 2 versions: max_drift failed; max_loss could not be decided.",
        ),
    ],
)
def test_a_summary_names_what_failed(versions: list[VersionDay], words: str) -> None:
    assert summary(document(*versions)).startswith(words)


def test_a_day_without_anything_measured_has_a_page() -> None:
    rule = Rule(name="max_loss", verdict="unknown", text="nothing was estimated")
    empty = version_day().model_copy(update={"rules": [rule], "outside": Outside(unknown="no")})
    assert "nothing was estimated" in page(document(empty), {}, {})


@pytest.mark.usefixtures("drawn")
def test_figures_are_small_and_of_hostile_values_none() -> None:
    for name, png in drawn_figures().items():
        assert Image.open(io.BytesIO(png)).width > 400, name
        assert len(png) < 100_000, name
    nothing = np.array([np.nan, np.inf], dtype=np.float32)
    assert dissimilarity_histogram(nothing[:1], 0.5) is None
    assert number_histogram(nothing) is None
    assert class_shares(["a"], np.array([-1, 5], dtype=np.int32)) is None
    assert metric_history("accuracy", [MetricDay("2026-11-01", None, None, 0.9)]) is None
    assert drift_bars(Drift(day=DriftMeasures(samples=0, features=[])), []) is None
    # all equal, and a threshold of 0
    assert dissimilarity_histogram(np.zeros(3), 0.0) is not None
    assert number_histogram(np.full(3, 1e38, dtype=np.float32)) is not None


@pytest.mark.browser
@pytest.mark.usefixtures("drawn")
def test_the_page_opens_in_a_browser(tmp_path: Path) -> None:
    chromium = require_program("chromium", "chromium")
    from playwright.sync_api import sync_playwright

    figures = drawn_figures()
    file = tmp_path / "report.html"
    file.write_text(page(document(full_day()), {"v1-a": figures}, {"v1-a": TEST}))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=CHROMIUM)
        shown = browser.new_page(viewport={"width": 1100, "height": 900})
        problems: list[str] = []
        shown.on("console", lambda message: problems.append(message.text))
        shown.on("dialog", lambda dialog: problems.append(dialog.message))
        shown.goto(file.as_uri())
        widths = shown.evaluate("[...document.images].map(image => image.naturalWidth)")
        overflow = shown.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        shown.set_viewport_size({"width": 400, "height": 900})
        # the text of a rule has the width of the page, a number a line of its own
        narrow = shown.evaluate(
            "[...document.querySelectorAll('.rules td:last-child')].map(cell => cell.offsetWidth)"
        )
        heights = shown.evaluate(
            "[...document.querySelectorAll('.numbers td')].map(cell => cell.offsetHeight)"
        )
        shown.screenshot(path=str(tmp_path / "report.png"), full_page=True)
        browser.close()
    assert len(widths) == len(figures) and min(widths) > 400
    assert (problems, overflow) == ([], False)
    assert min(narrow) > 100 and max(heights) < 60
