"""The asset `source` upstream of a landing: its current files.

With it Dagster's UI shows a landing that is out of date.

The landing is only listed; no file is opened, hashed or committed.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG, get_input_data_version_tag

from mlops_assets.components.graph.kinds import landing_kinds
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import Source
from resources import StoreResource

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue

    from mlops_assets.datasets.sources.base import Scene
    from mlops_assets.datasets.sources.listing import Listing
    from mlops_assets.storage import Workspace

# the key that Dagster's own freshness checks read
LAST_CHANGE = "dagster/last_updated_timestamp"


@dataclass(frozen=True)
class LandingState:
    """The state of a landing at one moment.

    Attributes:
        fingerprint: changes when a file is added, removed or changed; the data version of the
            asset `source`.
        metadata: for people, as Dagster displays it.
    """

    fingerprint: str
    metadata: Mapping[str, "RawMetadataValue"]

    @classmethod
    def of(cls, url: str, files: "Listing", scenes: "Sequence[Scene]") -> Self:
        """Return the state that a listing of the landing at `url` gives.

        STAC Items may change while their files do not.
        """
        from mlops_assets.datasets.sources import fingerprint

        metadata: dict[str, RawMetadataValue] = {
            "url": url,
            "files": len(files),
            "size": sum(files.sizes),
        }
        if files.last_change is not None:
            metadata[LAST_CHANGE] = dg.MetadataValue.timestamp(
                datetime.fromtimestamp(files.last_change, UTC)
            )
        digest = fingerprint(files)
        if scenes:
            items = [
                (scene.name, scene.images, scene.labels, dict(scene.properties), scene.bbox)
                for scene in scenes
            ]
            text = json.dumps([digest, items], sort_keys=True, default=str)
            digest = hashlib.sha256(text.encode()).hexdigest()
        return cls(digest, metadata)


def source_key(dataset: str) -> dg.AssetKey:
    """Return the key of the asset upstream of a dataset's landing."""
    return dg.AssetKey([dataset, "source"])


def scan(workspace: "Workspace", source: Source) -> LandingState:
    """List a landing.

    Raises:
        EmptyLanding: it has no files.
        DataProblems: there are files whose names cannot be committed.
        StorageError: it cannot be listed.
    """
    from mlops_assets.datasets.sources import open_landing

    landing = open_landing(workspace, source)
    files = landing.list()
    return LandingState.of(landing.url, files, landing.scenes)


def source_asset(specification: DatasetSpecification) -> dg.AssetsDefinition:
    """Return the asset `source` of a dataset; observing it lists the landing."""
    spec = dg.AssetSpec(
        source_key(specification.name),
        group_name=specification.name,
        description=f"The files in {specification.source.url}, whether committed or not.",
        kinds=landing_kinds(specification.source),
    )
    with warnings.catch_warnings():
        # The decorator is beta, which is ours to follow and not the user's to read. Its sibling for
        # a single asset makes Dagster 1.13 warn of its own deprecated code whenever definitions are
        # loaded.
        warnings.simplefilter("ignore", dg.BetaWarning)

        @dg.multi_observable_source_asset(  # type: ignore[untyped-decorator]
            name=f"{specification.name}__source", specs=[spec]
        )
        def source(store: StoreResource) -> dg.ObserveResult:
            state = scan(store.open().workspace, specification.source)
            return dg.ObserveResult(
                asset_key=spec.key,
                data_version=dg.DataVersion(state.fingerprint),
                metadata=state.metadata,
            )

    return source  # type: ignore[no-any-return]


def observation(dataset: str, state: LandingState) -> dg.AssetObservation:
    """Return the event that reports to Dagster a scan of a source outside its own observation."""
    return dg.AssetObservation(
        source_key(dataset), metadata=state.metadata, tags={DATA_VERSION_TAG: state.fingerprint}
    )


def made_from(dataset: str, state: LandingState) -> dict[str, str]:
    """Return the tags that record which state of the source a landing was committed from.

    Dagster would note the state last observed before the run, but the commit lists for itself: that
    counts.
    """
    return {get_input_data_version_tag(source_key(dataset)): state.fingerprint}
