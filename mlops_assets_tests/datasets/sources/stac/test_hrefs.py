"""Targets of hrefs, and that nothing beside a landing is taken for a part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.datasets.sources.stac.hrefs import path_below, resolve

FILE, WEB, BUCKET = "file:///data/landing", "https://host/landing", "s3://bucket/landing"
INSIDE = {
    "./x.tif": "i0/x.tif",
    "x%20y.tif": "i0/x y.tif",
    "x%23%3F.tif#part": "i0/x#?.tif",
    "../x.tif": "x.tif",
    "a/../../x.tif": "x.tif",
    "%2e%2e/x.tif": "x.tif",
    "..%2Fx.tif": "x.tif",
    "%252e%252e/x.tif": "i0/%2e%2e/x.tif",
    "../../landing/x.tif": "x.tif",
}
OUTSIDE = [
    "../../x.tif",
    "..%2F..%2Fx.tif",
    "%2e%2e/%2e%2e/x.tif",
    "../../landing2/x.tif",
    "../../landin",
    "../..",
    "..",
    "//other/landing/x.tif",
    "x:y.tif",
    "http://[::1/x.tif",
    "javascript:x",
    "ftp://host/landing/x",
]


@pytest.mark.parametrize("landing", [FILE, WEB, BUCKET])
def test_relative_hrefs_are_resolved_against_their_document(landing: str) -> None:
    found = {
        href: path_below(resolve(f"{landing}/i0/i0.json", href), landing)
        for href in [*INSIDE, *OUTSIDE]
    }
    assert found == INSIDE | dict.fromkeys(OUTSIDE)


@pytest.mark.parametrize(
    ("landing", "href", "path"),
    [
        (FILE, "file:///data/landing/i0/x.tif", "i0/x.tif"),
        (FILE, "file://localhost/data/landing/x%20y.tif", "x y.tif"),
        (FILE, "/data/landing/x.tif", "x.tif"),
        (FILE, "file:///data/landing2/x.tif", None),
        (FILE, "file:///data/landing/../x.tif", None),
        (FILE, "file://host/data/landing/x.tif", None),
        (FILE, "https://host/data/landing/x.tif", None),
        (WEB, "https://HOST:443/landing/i0/x.tif", "i0/x.tif"),
        (WEB, "/landing/x.tif", "x.tif"),
        (WEB, "//host/landing/x.tif", "x.tif"),
        (WEB, "https://host/landing2/x.tif", None),
        (WEB, "https://host:8443/landing/x.tif", None),
        (WEB, "https://host:port/landing/x.tif", None),
        (WEB, "https://host.org/landing/x.tif", None),
        (WEB, "https://host@other/landing/x.tif", None),
        (WEB, "http://host/landing/x.tif", None),
        (BUCKET, "s3://bucket/landing/x.tif", "x.tif"),
        (BUCKET, "s3://bucket2/landing/x.tif", None),
        (BUCKET, "gs://bucket/landing/x.tif", None),
        ("http://host", "http://host/x.tif", "x.tif"),
        ("http://host", "http://host", None),
    ],
)
def test_absolute_hrefs_may_lead_into_the_landing(
    landing: str, href: str, path: str | None
) -> None:
    assert path_below(resolve(f"{landing}/i0/i0.json", href), landing) == path


def test_a_landing_may_be_named_by_a_link_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    href = (tmp_path / "real" / "x.tif").as_uri()
    assert path_below(href, (tmp_path / "link").as_uri()) == "x.tif"
