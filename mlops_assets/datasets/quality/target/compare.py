"""A data version compared with the area that its dataset is to map, and what is published of it.

The document and its figure lie beside the data version; neither is part of it or its digest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.quality.assessment import MAX_ASSESSING_SECONDS, QualityAssessment
from mlops_assets.datasets.quality.checks import RESEMBLES_TARGET, TARGET_CHECK, Check
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.content.subsample import SEED, draw
from mlops_assets.datasets.quality.findings.separation import PERCENTILES
from mlops_assets.datasets.quality.report import rounded
from mlops_assets.datasets.quality.target.area import Lonlat, area_of, points_in, read_area
from mlops_assets.datasets.quality.target.distances import (
    MAX_POINTS,
    Distances,
    between_bands,
    on_ground,
)
from mlops_assets.datasets.quality.target.document import (
    FORMAT,
    Distribution,
    Space,
    TargetReport,
    TriedBlock,
    document_key,
    judged,
    published_target,
)
from mlops_assets.datasets.quality.target.sample_bands import bands_of
from mlops_assets.datasets.quality.target.scenes import (
    Pixels,
    TargetScene,
    read_pixels,
    scenes_of,
)
from mlops_assets.datasets.specification.dataset import Split
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.datasets.splits.assign import in_ground_blocks
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import IntegrityError, MlopsError, StorageError
from mlops_assets.paths import data_owner, version_folder
from mlops_assets.progress import step
from mlops_assets.registry import Registry
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.storage import FileStat
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    from shapely import MultiPolygon

FIGURE = "target_distances"
MAX_TRIED = 200_000  # samples that are divided by blocks to propose a size
# of the area's median distance; the median point of a square is 0.15 of its side from the edge
BLOCKS = (1, 3, 7, 15, 40)


@dataclass(frozen=True, eq=False)
class _Area:
    """What a target area is made of, before anything is measured."""

    polygons: MultiPolygon | None
    scenes: list[TargetScene]
    digest: str


def compare_with_target(
    registry: Registry,
    committed: CommittedDataset,
    target: TargetArea,
    quality: QualityAssessment,
) -> QualityAssessment:
    """Compare distances to training of test samples and of the target area, and publish them.

    What was measured is measured again only if the area, or one of its scenes, has changed. An area
    that cannot be read fails the check, which does not stop training.

    Args:
        registry: where files are recorded.
        committed: the data version.
        target: as declared now.
        quality: of the data version.

    Returns:
        The assessment with the check, `target_area.json` and the figure.

    Raises:
        Conflict: another process has been comparing this version for `MAX_ASSESSING_SECONDS`.
    """
    lock = f"target-{committed.row.dataset}-{committed.row.version}"
    with registry.lock(lock, timeout=MAX_ASSESSING_SECONDS):
        try:
            area = _area(committed, target)
            with step(f"comparing {committed.reference} with its target area"):
                report, figures = _published(registry, committed, area) or _measured(
                    committed, area
                )
        except MlopsError as error:
            failed = Check(RESEMBLES_TARGET, False, str(error), TARGET_CHECK.blocking)
            return replace(quality, checks=[*quality.checks, failed])
        passed, description = judged(report, target.max_difference)
        report = report.model_copy(
            update={
                "target_area": _recorded(target),
                "passed": passed,
                "description": description,
            }
        )
        files = _publish(registry, committed, report, figures)
    return replace(
        quality,
        checks=[*quality.checks, report.check],
        files=[*quality.files, *files],
        figures=quality.figures | figures,
    )


def _area(committed: CommittedDataset, target: TargetArea) -> _Area:
    content = None if target.area is None else read_area(committed.workspace, target.area)
    scenes = scenes_of(committed.workspace, target.scenes)
    identity = [
        FORMAT,
        committed.row.digest,
        target.model_dump(mode="json", exclude={"area", "max_difference"}),
        None if content is None else hashlib.sha256(content).hexdigest(),
        [[scene.url, scene.file.size, scene.file.stamp] for scene in scenes],
    ]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return _Area(area_of(target, content), scenes, digest)


def _recorded(target: TargetArea) -> JsonObject:
    """Return a target area as declared, of a file of this machine its name only."""
    found = target.model_dump(mode="json")
    if target.area is not None and "://" not in target.area:
        found["area"] = PurePath(target.area).name
    return found


def _published(
    registry: Registry, committed: CommittedDataset, area: _Area
) -> tuple[TargetReport, dict[str, bytes]] | None:
    """Return what is published, None if it is of something else, or not as it was published."""
    found = published_target(committed.workspace, registry, committed.row)
    if found is None or (found.format, found.measured_on) != (FORMAT, area.digest):
        return None
    if found.geographic is None and found.bands is None:
        return found, {}
    try:
        figure = read_published(committed.workspace, registry, _figure_key(committed))
    except (StorageError, IntegrityError):
        return None
    return found, {FIGURE: figure}


def _measured(committed: CommittedDataset, area: _Area) -> tuple[TargetReport, dict[str, bytes]]:
    from mlops_assets.datasets.quality.figures import target_distances

    pixels = read_pixels(
        area.scenes, committed.document.features, committed.reading, area.polygons, MAX_POINTS
    )
    if area.polygons is None or area.scenes:
        places = np.concatenate([scene.places for scene in pixels])
    else:
        places = points_in(area.polygons, MAX_POINTS, SEED)
    ground, no_ground = _on_ground(committed, places)
    bands, no_bands = _between_bands(committed, pixels)
    known = {name: found for name, found in (("geographic", ground), ("bands", bands)) if found}
    report = TargetReport(
        format=FORMAT,
        data_version=committed.reference,
        digest=committed.row.digest,
        target_area={},
        measured_on=area.digest,
        scenes=[scene.url for scene in area.scenes],
        points=len(places),
        geographic=None if ground is None else _space(ground),
        bands=None if bands is None else _space(bands),
        unknown={
            name: why for name, why in (("geographic", no_ground), ("bands", no_bands)) if why
        },
        blocks=[] if ground is None else _tried(committed, places, ground),
    )
    title = f"{committed.reference}: distance to the nearest training sample"
    return report, {FIGURE: target_distances(list(known.values()), title)} if known else {}


def _on_ground(committed: CommittedDataset, places: Lonlat) -> tuple[Distances | None, str]:
    """Return distances on the ground, or why they are unknown."""
    samples = committed.samples
    splits = samples["split"].to_numpy(dtype=object)
    lonlat = samples[["longitude", "latitude"]].to_numpy(dtype=np.float64)
    train, test = lonlat[splits == "train"], lonlat[splits == "test"]
    lacking = int(np.isnan(train).any(axis=1).sum() + np.isnan(test).any(axis=1).sum())
    if lacking:
        return None, (
            f"{lacking:,} of {len(train) + len(test):,} samples of training and test have no"
            " longitude and latitude"
        )
    if len(train) < 2:
        return None, "there is one training sample only"
    known = ~np.isnan(places).any(axis=1)
    if not len(places):
        return None, "no pixel of the scenes has data in the target area"
    if not known.all():
        return None, "a scene has no georeference"
    return on_ground(train, test, places), ""


def _between_bands(
    committed: CommittedDataset, pixels: list[Pixels]
) -> tuple[Distances | None, str]:
    """Return distances between the values of bands, or why they are unknown if scenes are given."""
    if not pixels:
        return None, ""
    if committed.document.input.kind == "image":
        return None, "a sample is a whole image, a map's pixel is not"
    unlike = [scene.unlike for scene in pixels if scene.unlike]
    if unlike:
        return None, unlike[0]
    target = np.concatenate([scene.values for scene in pixels if scene.values is not None])
    if not len(target):
        return None, "no pixel of the scenes has data in the target area"
    source = SampleValues(committed)
    train, test = (bands_of(source, split) for split in ("train", "test"))
    if len(np.unique(train.sample)) < 2 or not len(test.values):
        return None, "too few samples have a value in every band"
    return between_bands(train, test, target), ""


def _tried(committed: CommittedDataset, places: Lonlat, found: Distances) -> list[TriedBlock]:
    """Divide the samples by blocks of several sizes, and return the W of each division."""
    samples = committed.samples[committed.samples["split"].notna()]
    samples = samples.iloc[draw(np.arange(len(samples)), MAX_TRIED)]
    lonlat = samples[["longitude", "latitude"]].to_numpy(dtype=np.float64)
    if np.isnan(lonlat).any():
        return []
    declared = committed.specification.split
    aim = declared.fractions.get("test", 0)
    tried = []
    for side in sorted({_round(found.median_target * factor) for factor in BLOCKS}):
        split = Split(
            method="spatial_block", block=side, fractions=declared.fractions, seed=declared.seed
        )
        splits: NDArray[np.object_] = in_ground_blocks(samples, split).to_numpy(dtype=object)
        train, test = lonlat[splits == "train"], lonlat[splits == "test"]
        # of a few large blocks, chance may leave a split without any
        if len(train) > 1 and aim / 2 <= len(test) / len(samples) <= 2 * aim:
            wasserstein = on_ground(train, test, places).wasserstein
            tried.append(
                TriedBlock.model_validate({"block": side, "wasserstein": rounded(wasserstein)})
            )
    return tried


def _round(metres: float) -> float:
    """Return the nearest of 10, 20, 50, 100, … metres."""
    steps = [10.0**power * step for power in range(1, 7) for step in (1, 2, 5)]
    return min(steps, key=lambda step: abs(np.log(step / max(metres, 1.0))))


def _space(found: Distances) -> Space:
    return Space.model_validate(
        rounded(
            {
                "unit": found.unit,
                "wasserstein": found.wasserstein,
                "difference": found.difference,
                **{
                    name: Distribution(
                        count=len(own),
                        mean=float(own.mean()),
                        percentiles=dict(
                            zip(
                                map(str, PERCENTILES),
                                np.percentile(own, PERCENTILES).tolist(),
                                strict=True,
                            )
                        ),
                    ).model_dump()
                    for name, own in (
                        ("sample", found.sample),
                        ("test", found.test),
                        ("target", found.target),
                    )
                },
            }
        )
    )


def _figure_key(committed: CommittedDataset) -> str:
    return f"{version_folder(committed.row.dataset, committed.row.version)}/figures/{FIGURE}.png"


def _publish(
    registry: Registry,
    committed: CommittedDataset,
    report: TargetReport,
    figures: dict[str, bytes],
) -> list[FileStat]:
    contents = {document_key(committed.row): json_bytes(report.model_dump(mode="json"))}
    contents |= {_figure_key(committed): png for png in figures.values()}
    with publication(committed.workspace, registry) as publishing:
        files = publishing.put_all(contents)
        registry.add_files(
            data_owner(committed.row.dataset, committed.row.version), publishing.files
        )
    return files
