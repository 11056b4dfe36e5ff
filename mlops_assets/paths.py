"""Storage keys of a workspace, and the owners that published files are recorded under.

Every key is spelt here and nowhere else; docs/workspace.md has `LAYOUT` as its overview.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NewType
from urllib.parse import quote

Owner = NewType("Owner", str)

CATALOG = "catalog"
DATASETS = "datasets"
INFERENCE = "inference"
LOG = "log"
LOG_REPLACED = "log-replaced"
MAPS = "maps"
MODELS = "models"
MONITORING = "monitoring"
OBJECTS = "objects/sha256"
PACKS = "objects/packs"
PARTS = "parts"
PREDICTIONS = "predictions"
PRIVATE = "private"
PROBES = "probes"
RUNS = "runs"
SIGNATURES = "signatures"
# in the folder of a model version; its files may come later than its signatures
GATES = "gates"
# there, of a version that is used from another workspace: what it publishes there
SHARED = "shared"
STAGED = "staged"
# values that steps of a Dagster run hand on
STEPS = "steps"
SWEEPS = "sweeps"
TRUTH = "truth"
# folders of published files; segments of the request log are not published
PUBLISHED = (
    CATALOG,
    DATASETS,
    INFERENCE,
    MODELS,
    MONITORING,
    PREDICTIONS,
    PRIVATE,
    RUNS,
    SWEEPS,
    TRUTH,
)

# folders of the files that a backup has; none holds a key, a database or what is landing
BACKED_UP = (*PUBLISHED, LOG_REPLACED, OBJECTS, PACKS)

# marks the workspace of a branch, which a pipeline may remove
BRANCH_MARKER = "branch.json"

CATALOG_ROOT = f"{CATALOG}/catalog.json"
CATALOG_OWNER = Owner("catalog")

CHECKPOINT = re.compile(rf"{RUNS}/[^/]+/checkpoints/.*")
# logged requests that are not published yet
LOG_SEGMENT = re.compile(rf"{INFERENCE}/[^/]+/[^/]+/segments/.*")
LOG_ENTRY = re.compile(rf"{LOG}/(\d{{10}})\.json")
RUN_DOCUMENT = re.compile(rf"{RUNS}/([^/]+)/run\.json")
MANIFEST = re.compile(rf"{DATASETS}/[^/]+/v[1-9]\d*/manifest\.parquet")
VERSION_DOCUMENT = re.compile(rf"{DATASETS}/([^/]+)/(v([1-9]\d*))/version\.json")
DATASET_COLLECTION = re.compile(
    rf"(?:{CATALOG}|{PRIVATE})/{DATASETS}/([^/]+)/([^/]+)/collection\.json"
)
MODEL_COLLECTION = re.compile(rf"(?:{CATALOG}|{PRIVATE})/{MODELS}/([^/]+)/collection\.json")
MODEL_ITEM = re.compile(rf"(?:{CATALOG}|{PRIVATE})/{MODELS}/([^/]+)/([^/]+)/\2\.json")
MAP_COLLECTION = re.compile(rf"(?:{CATALOG}|{PRIVATE})/{MAPS}/([^/]+)/collection\.json")
MAP_ITEM = re.compile(rf"(?:{CATALOG}|{PRIVATE})/{MAPS}/([^/]+)/([^/]+)/([^/]+)/([^/]+)\.json")
MAP_DOCUMENT = re.compile(rf"{PREDICTIONS}/([^/]+)/([^/]+)/(.+)\.map\.json")
_ONNX = re.compile(rf"({MODELS}/[^/]+/[^/]+)/model\.onnx")
SIGNATURE = re.compile(rf"{MODELS}/[^/]+/[^/]+/(?:{SHARED}|{SIGNATURES})/([^/.]+)\.sigstore\.json")
_OWNERS = (  # pattern of a key → its owner, in the order in which they are tried
    (re.compile(rf"{DATASETS}/([^/]+)/([^/]+)/.*"), r"data:\1@\2"),
    (re.compile(rf"{MODELS}/([^/]+)/([^/]+)/.*"), r"model:\1@\2"),
    (re.compile(rf"{PREDICTIONS}/([^/]+)/([^/]+)/.*"), r"prediction:\1@\2"),
    (re.compile(rf"{INFERENCE}/([^/]+)/([^/]+)/requests\.parquet"), r"inference:\1@\2"),
    (re.compile(rf"{TRUTH}/([^/]+)/([^/]+)/truth\.parquet"), r"truth:\1@\2"),
    (re.compile(rf"{MONITORING}/([^/]+)/([^/]+)/.*"), r"monitoring:\1@\2"),
    (re.compile(rf"{RUNS}/([^/]+)/[^/]+"), r"run:\1"),
    (re.compile(rf"{SWEEPS}/([^/]+)/([^/]+)\.json"), r"sweep:\1/\2"),
    (
        re.compile(rf"(?:{CATALOG}|{PRIVATE})/(?:{DATASETS}|{MODELS})/([^/]+)/([^/]+)/.*"),
        r"record:\1@\2",
    ),
    (
        re.compile(rf"(?:{CATALOG}|{PRIVATE})/{MAPS}/[^/]+/([^/]+)/([^/]+)/[^/]+"),
        r"maps:\1@\2",
    ),
    (re.compile(rf"(?:{CATALOG}|{PRIVATE})/.*"), CATALOG_OWNER),
)

# at the root of a workspace that is being restored; states from which backup
RESTORING = "restoring.json"
# of a place of backups: content by its checksum, and a document a backup, which is written last
BACKUP_BLOBS = "blobs"
BACKUPS = "backups"

LAYOUT = (  # key and content, in the order of docs/workspace.md
    ("objects/sha256/ab/cdef…", "the bytes of every file of every data version, once"),
    ("objects/packs/ab/cdef….zip", "those of many small files, under the sha256 of the ZIP file"),
    (
        "datasets/<name>/<version>/",
        "manifest.parquet samples.parquet version.json statistics.json quality.json figures/",
    ),
    ("", "target_area.json, if the dataset declares one"),
    ("", "log.txt of the function that has made it, if it was made from other data"),
    (
        "models/<name>/<version>/",
        "native/ model.onnx features.onnx parity.json metrics.json latency.json parameters.json",
    ),
    (
        "",
        "environment.json applicability.json applicability.parquet model-card.md model-card.html",
    ),
    ("", "reference.json reference.parquet figures/ signatures/ gates/"),
    ("", "shared/ of a version that is used from another workspace, which has its ONNX file"),
    ("runs/<run id>/", "run.json points.parquet, once the run has ended; log.txt checkpoints/"),
    ("sweeps/<model>/<name>.json", "the plan of a sweep"),
    ("catalog/", "the static STAC catalogue: relative links, checksums on every asset"),
    (
        "  datasets/<name>/<version>/",
        "collection.json, an Item a scene, image or table, training-dml.json (OGC TrainingDML-AI)",
    ),
    (
        "  models/<name>/<version>/",
        "the Item of a model version; its Collection is beside the versions",
    ),
    (
        "  maps/<area, or <model>-maps>/",
        "collection.json, and <model>/<version>/, the Item of each map of a model version",
    ),
    ("private/", "the same catalogue of private versions, which are not in the one above"),
    (
        "predictions/<model>/<version>/",
        "Cloud-Optimised GeoTIFFs, class names for GDAL and pictures,"
        " the id of an Item, <file>-<digest of its URL>, <day>-<digest> of several scenes, or"
        " <area>/<day>; <name>.map.json states their origin",
    ),
    (
        "inference/<model>/<day>/",
        "requests.parquet, the logged requests of a day (UTC); segments/ that are not in it yet",
    ),
    ("truth/<model>/<day>/", "truth.parquet, labels of the requests of that day"),
    ("monitoring/<model>/<day>/", "monitoring.json report.html figures/"),
    (
        "log/<number>.json",
        "the registry's log: every change and its author, chained by sha256",
    ),
    ("log-replaced/<number>/", "entries that `mlops reindex --until` has left out"),
    ("staged/", "content that replaces published files, until it is at its place"),
    (
        "parts/<job>/<scene>/",
        "finished parts of maps that are not published yet, and what was planned",
    ),
    ("steps/<Dagster run>/", "what steps of a run hand on, until its maps are published"),
    ("probes/", "what `mlops doctor` writes, and removes again"),
    ("landing/<name>/", "new files arrive here; never changed by the platform"),
    ("cache/", "copies of remote files, decoded samples; delete it at any time"),
    (
        "  decoded/<digest>-<view>-2/<split>/",
        "X.npy, y.npy of windows, shown.npy where masks hide values, whole.json with their",
    ),
    ("", "sizes and the sha256 of each MiB: a split decoded once, memory-mapped"),
    (
        "  calibration/",
        "how sure model versions are of what they predict, fitted to their own data once",
    ),
    (
        "  inference/",
        "logged requests that are not in the workspace yet; a server moves them every half minute",
    ),
    (
        "  named/",
        "links to objects under their landed names, where GDAL needs the files beside a raster",
    ),
    (
        "  external/<run id>/",
        "uploads of callers of the API, of a run that is not published yet",
    ),
    ("branch.json", "of the workspace of a branch alone: which, and what it has of production"),
    ("registry.db", "data versions, runs, model versions, aliases, maps, tokens, checksums"),
    ("locks/", "of processes that write; beside a SQLite registry"),
    ("dagster/", "Dagster's own history"),
)


def layout() -> str:
    """Return the overview of a workspace as docs/workspace.md has it."""
    return "\n".join(f"{key:<38} {content}".rstrip() for key, content in LAYOUT)


def is_file_key(key: str) -> bool:
    """Return whether a key is that of a file below a workspace, wherever the workspace is.

    Args:
        key: of a row or list that others may have written.
    """
    return "\0" not in key and not any(part in ("", ".", "..") for part in key.split("/"))


def object_key(sha256: str) -> str:
    """Return the key of a content-addressed object."""
    return f"{OBJECTS}/{sha256[:2]}/{sha256[2:]}"


def backup_blob_key(sha256: str) -> str:
    """Return the key of content in a place of backups, by its checksum."""
    return f"{BACKUP_BLOBS}/{sha256[:2]}/{sha256[2:]}"


def backup_key(name: str) -> str:
    """Return the key of the document of a backup."""
    return f"{BACKUPS}/{name}.json"


def pack_key(sha256: str) -> str:
    """Return the key of a pack of objects, by its checksum."""
    return f"{PACKS}/{sha256[:2]}/{sha256[2:]}.zip"


def object_href(sha256: str, pack: str | None) -> str:
    """Return the key of an object by its checksum, for hrefs.

    Of an object in a pack it is the key of the pack, and the name of the entry in it, which is what
    GDAL opens with `/vsizip/` before it.
    """
    return object_key(sha256) if pack is None else f"{pack_key(pack)}/{sha256}"


def version_folder(dataset: str, version: str) -> str:
    """Return the folder of a data version's manifest and documents."""
    return f"{DATASETS}/{dataset}/{version}"


def data_log_key(dataset: str, version: str) -> str:
    """Return the key of the output of the function that has made a data version."""
    return f"{version_folder(dataset, version)}/log.txt"


def step_values_folder(dagster_run: str) -> str:
    """Return the folder of the values that steps of a Dagster run hand on."""
    return f"{STEPS}/{dagster_run}"


def step_value_key(dagster_run: str, names: Sequence[str]) -> str:
    """Return the key of a value that a step of a Dagster run hands on.

    Args:
        dagster_run: id of the run.
        names: of the step, of its output, and of one of several values of the output.
    """
    return (
        f"{step_values_folder(dagster_run)}/{'/'.join(quote(name, safe='') for name in names)}.json"
    )


def model_folder(model: str, version: str) -> str:
    """Return the folder of a model version's files."""
    return f"{MODELS}/{model}/{version}"


def applicability_key(model: str, version: str) -> str:
    """Return the key of the area of applicability of a model version."""
    return f"{model_folder(model, version)}/applicability.json"


def applicability_references_key(model: str, version: str) -> str:
    """Return the key of its reference points."""
    return f"{model_folder(model, version)}/applicability.parquet"


def gates_key(model: str, version: str) -> str:
    """Return the key of the outcomes of a model version's gates, as of its record."""
    return f"{model_folder(model, version)}/{GATES}/gates.json"


def comparison_key(model: str, version: str, other: str, data_version: str) -> str:
    """Return the key of the comparison of a model version with another on a data version."""
    return f"{model_folder(model, version)}/{GATES}/{other}-on-{data_version}.json"


def signature_key(model: str, version: str, name: str, folder: str = SIGNATURES) -> str:
    """Return the key of the bundle of a signature over the files of a model version.

    Args:
        model: name of the model.
        version: its version.
        name: of the signature.
        folder: `SHARED` for a copy of one that it has in another workspace.
    """
    return f"{model_folder(model, version)}/{folder}/{name}.sigstore.json"


def provenance_key(model: str, version: str, name: str, folder: str = SIGNATURES) -> str:
    """Return the key of the bundle beside it, over how they were made."""
    return signature_key(model, version, f"{name}.provenance", folder)


def shared_key(model: str, version: str) -> str:
    """Return the key of the document that names what a version is in another workspace."""
    return f"{model_folder(model, version)}/{SHARED}/shared.json"


def shared_of_key(key: str) -> str | None:
    """Return the key of the document that names where a file may be kept; None if it is here."""
    found = _ONNX.fullmatch(key)
    return None if found is None else f"{found[1]}/{SHARED}/shared.json"


def signature_of_key(key: str) -> str | None:
    """Return the name of the signature that a file is the bundle of; None for any other file."""
    found = SIGNATURE.fullmatch(key)
    return None if found is None else found[1]


def predictions_folder(model: str, version: str) -> str:
    """Return the folder of the maps that a model version has made."""
    return f"{PREDICTIONS}/{model}/{version}"


def map_key(model: str, version: str, name: str, end: str) -> str:
    """Return the key of a file of a map.

    Args:
        model: that has made it.
        version: of the model.
        name: of the map.
        end: of the file's name, such as `.tif`.
    """
    return f"{predictions_folder(model, version)}/{name}{end}"


def map_document_key(model: str, version: str, name: str) -> str:
    """Return the key of the document of a map."""
    return map_key(model, version, name, ".map.json")


def requests_key(model: str, day: str) -> str:
    """Return the key of the logged requests of a model on a day, `YYYY-MM-DD` in UTC."""
    return f"{INFERENCE}/{model}/{day}/requests.parquet"


def segments_folder(model: str, day: str) -> str:
    """Return the folder of logged requests that are not in the file of their day yet."""
    return f"{INFERENCE}/{model}/{day}/segments"


def truth_key(model: str, day: str) -> str:
    """Return the key of the labels of the requests of a model on a day."""
    return f"{TRUTH}/{model}/{day}/truth.parquet"


def monitoring_key(model: str, day: str, name: str = "monitoring.json") -> str:
    """Return the key of a file of how a model did on a day."""
    return f"{MONITORING}/{model}/{day}/{name}"


def reference_key(model: str, version: str, name: str = "reference.json") -> str:
    """Return the key of the statistics, or values, of training that drift is measured against."""
    return f"{model_folder(model, version)}/{name}"


def parts_folder(job: str) -> str:
    """Return the folder of the finished parts of a map that is not published yet."""
    return f"{PARTS}/{job}"


def scene_key(job: str, scene: int) -> str:
    """Return the key of what is known of a scene of a map that is not published yet."""
    return f"{parts_folder(job)}/{scene}.json"


def part_key(job: str, scene: str, rows: tuple[int, int]) -> str:
    """Return the key of a part of such a map, without what tells its files apart."""
    return f"{parts_folder(job)}/{scene}/{rows[0]:06}-{rows[1]:06}"


def run_document_key(run_id: str) -> str:
    """Return the key of the record of a training run that has ended."""
    return f"{RUNS}/{run_id}/run.json"


def run_points_key(run_id: str) -> str:
    """Return the key of all points of a training run that has ended."""
    return f"{RUNS}/{run_id}/points.parquet"


def run_log_key(run_id: str) -> str:
    """Return the key of the output of a training run."""
    return f"{RUNS}/{run_id}/log.txt"


def checkpoints_folder(run_id: str) -> str:
    """Return the folder of the states that a training run can be resumed from."""
    return f"{RUNS}/{run_id}/checkpoints"


def probe_key(name: str) -> str:
    """Return the key of an object that is written and removed to learn whether that is allowed."""
    return f"{PROBES}/{name}"


def sweep_key(model: str, name: str) -> str:
    """Return the key of the plan of a sweep."""
    return f"{SWEEPS}/{model}/{name}.json"


def catalog_folder(private: bool) -> str:
    """Return the folder of the static catalogue, or of that of private versions."""
    return PRIVATE if private else CATALOG


def catalog_root_of(key: str) -> str:
    """Return the key of the root of the catalogue that a document is in."""
    return f"{key.partition('/')[0]}/catalog.json"


def dataset_catalog_key(dataset: str, private: bool = False) -> str:
    """Return the key of the STAC Catalog of a dataset's versions, or of its private ones."""
    return f"{catalog_folder(private)}/{DATASETS}/{dataset}/catalog.json"


def dataset_record_folder(dataset: str, version: str, private: bool = False) -> str:
    """Return the folder of the STAC Collection and Items of a data version."""
    return f"{catalog_folder(private)}/{DATASETS}/{dataset}/{version}"


def dataset_collection_key(dataset: str, version: str, private: bool = False) -> str:
    """Return the key of the STAC Collection of a data version."""
    return f"{dataset_record_folder(dataset, version, private)}/collection.json"


def model_collection_key(model: str, private: bool = False) -> str:
    """Return the key of the STAC Collection of a model's versions, or of its private ones."""
    return f"{catalog_folder(private)}/{MODELS}/{model}/collection.json"


def model_item_key(model: str, version: str, private: bool = False) -> str:
    """Return the key of the STAC Item of a model version."""
    return f"{catalog_folder(private)}/{MODELS}/{model}/{version}/{version}.json"


def map_collection_key(collection: str, private: bool = False) -> str:
    """Return the key of the STAC Collection of the maps of an area, or of a model."""
    return f"{catalog_folder(private)}/{MAPS}/{collection}/collection.json"


def map_items_folder(collection: str, model: str, version: str, private: bool = False) -> str:
    """Return the folder of the STAC Items of the maps that a model version has made."""
    return f"{catalog_folder(private)}/{MAPS}/{collection}/{model}/{version}"


def log_entry_key(seq: int) -> str:
    """Return the key of a mirrored entry of the log, by its number."""
    return f"{LOG}/{seq:010}.json"


def data_owner(dataset: str, version: str) -> Owner:
    """Return the owner of a data version's documents."""
    return Owner(f"data:{dataset}@{version}")


def model_owner(model: str, version: str) -> Owner:
    """Return the owner of a model version's files."""
    return Owner(f"model:{model}@{version}")


def record_owner(name: str, version: str) -> Owner:
    """Return the owner of the record of a data version or a model version."""
    return Owner(f"record:{name}@{version}")


def prediction_owner(model: str, version: str) -> Owner:
    """Return the owner of the maps that a model version has made."""
    return Owner(f"prediction:{model}@{version}")


def maps_owner(model: str, version: str) -> Owner:
    """Return the owner of the records of the maps that a model version has made."""
    return Owner(f"maps:{model}@{version}")


def inference_owner(model: str, day: str) -> Owner:
    """Return the owner of the logged requests of a model on a day."""
    return Owner(f"inference:{model}@{day}")


def truth_owner(model: str, day: str) -> Owner:
    """Return the owner of the labels of the requests of a model on a day."""
    return Owner(f"truth:{model}@{day}")


def monitoring_owner(model: str, day: str) -> Owner:
    """Return the owner of what is known of how a model did on a day."""
    return Owner(f"monitoring:{model}@{day}")


def run_owner(run_id: str) -> Owner:
    """Return the owner of the files of a training run that belong to no model version."""
    return Owner(f"run:{run_id}")


def sweep_owner(model: str, name: str) -> Owner:
    """Return the owner of the plan of a sweep."""
    return Owner(f"sweep:{model}/{name}")


def owner_of(key: str) -> Owner | None:
    """Return the owner that a published file has by its key; None if no owner has such keys.

    Files of a run that has made a model version are the model version's, which no key states.
    """
    found = (Owner(pattern.sub(name, key)) for pattern, name in _OWNERS if pattern.fullmatch(key))
    return next(found, None)
