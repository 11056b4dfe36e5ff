"""The model card: facts a person should know before using a model version, in Markdown.

The text is in `model_card.md.j2`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from mlops_assets.datasets.splits.spatial_blocks import (
    DEFAULT_METRES,
    DEFAULT_PIXELS,
    on_the_ground,
)
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.summary import Summary
from mlops_assets.datasets.versions.version_document import VersionSummary
from mlops_assets.models.evaluation.bootstrap import CONFIDENCE, MIN_UNITS, REPLICATES
from mlops_assets.models.evaluation.calibration import BINS
from mlops_assets.models.evaluation.tally import Evaluation
from mlops_assets.models.parameters import restored
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.model_documents import Signature
from mlops_assets.store import Store
from mlops_assets.text.markup import code, plain, table
from mlops_assets.text.templates import template

# versions of all others are in environment.json
NAMED_PACKAGES = ("mlops-assets", "numpy", "onnx", "onnxruntime")
NAMED_HARDWARE = ("machine", "cpu", "cpus", "gpus")
MAX_SLICES = 10  # rows of the table of one division


def model_card(
    store: Store,
    specification: ModelSpecification,
    row: ModelVersion,
    committed: CommittedDataset,
    evaluation: Evaluation,
    figures: Sequence[str] = (),
) -> str:
    """Return the card. What people state is declared; all else is recorded or measured.

    Args:
        store: workspace and registry, with the run that made the model version.
        specification: the model as declared.
        row: the model version.
        committed: the data version it was trained on.
        evaluation: its measurements on the test split.
        figures: names of the figures in `figures/` beside the card.
    """
    signature = Signature.of(row)
    run = store.registry.run(row.run_id)
    summary = Summary.open(
        store.workspace, store.registry, Reference(row.dataset, row.data_version)
    ).facts
    text = template("mlops_assets.models.evaluation", "model_card.md.j2").render(
        annex_iv=specification.card.annex_iv,
        title=specification.title or row.model,
        model=row.model,
        reference=f"{row.model}@{row.version}",
        description=specification.description,
        declared=specification.card,
        facts=table(["", ""], _facts(specification, row, signature, run).items()),
        data_facts=table(["", ""], _data_facts(committed, summary, run).items()),
        counted="Labelled pixels" if signature.view == "window" else "Samples",
        class_counts=_class_counts(summary),
        features=_features(signature, committed),
        classes=[entry.name for entry in signature.classes or []],
        parameters=[(name, restored(value)) for name, value in sorted(run.parameters.items())],
        evaluation=evaluation,
        metrics=metrics_table(evaluation),
        replicates=REPLICATES,
        min_units=MIN_UNITS,
        per_class="" if evaluation.per_class.empty else per_class_table(evaluation),
        slices=slices_markdown(evaluation),
        bins=BINS,
        figures=figures,
        environment_facts=table(["", ""], _environment(store, row, run).items()),
        reproducible=run.source == "platform",
        imported=run.imported,
        commit=run.code.get("commit"),
        changed=bool(run.code.get("diff")),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _facts(
    specification: ModelSpecification, row: ModelVersion, signature: Signature, run: Run
) -> dict[str, str]:
    methods = sorted({str(entry["type"]) for entry in signature.scaling or []})
    licence = {"licence": plain(specification.license)} if specification.license else {}
    return {
        "task": row.task,
        "framework": f"{row.framework}, {plain(signature.architecture)}",
        "input": f"float32, (batch, {', '.join(map(str, signature.shape))}), raw values",
        "scaling": f"{', '.join(methods)}; done by the ONNX model itself" if methods else "none",
        **licence,
        "run": f"`{run.run_id}`, seed {run.seed}",
        **_origin(run),
    }


def _origin(run: Run) -> dict[str, str]:
    """Return the code that has trained the model, or where it was imported from."""
    if not run.imported:
        return {"code": f"{code(run.trainer)} at {code(run.code_version)}"}
    return {
        "imported from": f"{code(run.imported['source'])}, sha256 {code(run.imported['sha256'])}",
        "record": code(run.imported["record"]),
        "assumed": plain(run.imported.get("assumed", "nothing")),
    }


def _data_facts(committed: CommittedDataset, summary: VersionSummary, run: Run) -> dict[str, str]:
    dataset = committed.specification
    doi = f", https://doi.org/{plain(dataset.doi)}" if dataset.doi else ""
    facts = {
        "evaluated on" if run.imported else "trained on": (
            f"{committed.reference} ({plain(dataset.title or dataset.name)}), digest"
            f" `{committed.row.digest}`"
        ),
        "samples": ", ".join(f"{count} {name}" for name, count in committed.row.counts.items()),
        "split": _split(committed),
        "data licence": f"{plain(dataset.license)}{doi}",
    }
    if summary.bbox:
        west, south, east, north = (f"{degrees:.4f}" for degrees in summary.bbox)
        facts["place"] = f"{west} to {east} ° east, {south} to {north} ° north"
    if summary.interval:
        start, end = (plain(time[:10]) if time else "open" for time in summary.interval)
        facts["time"] = start if start == end else f"{start} to {end}"
    return facts


def _class_counts(summary: VersionSummary) -> str:
    """Return the samples or pixels of each class in each split; nothing where they are unknown."""
    counts = [
        (own.name, (own.train, own.validation, own.test, own.left_out)) for own in summary.classes
    ]
    if not counts or any(number is None for _, numbers in counts for number in numbers):
        return ""
    rows = [[plain(name), *(f"{number:,}" for number in numbers)] for name, numbers in counts]
    return table(["class", "train", "validation", "test", "in no split"], rows)


def _environment(store: Store, row: ModelVersion, run: Run) -> dict[str, str]:
    """Return where the run trained: Python, the packages that matter most, image, hardware."""
    facts: dict[str, str] = {}
    if run.environment is not None:
        # of an external run it is what its client has sent
        found = json.loads(store.workspace.get_object(run.environment))
        packages = found.get("packages") or {}
        framework = "torch" if row.framework == "pytorch" else row.framework
        named = [
            f"{name} {packages[name]}" for name in (*NAMED_PACKAGES, framework) if name in packages
        ]
        facts["Python"] = plain(found.get("python", "unknown"))
        facts["packages"] = plain(", ".join(dict.fromkeys(named)))
        facts["all packages"] = f"{len(packages)}, in environment.json"
    if image := run.code.get("container"):
        facts["image"] = code(image)
    hardware = {name: run.hardware.get(name) for name in NAMED_HARDWARE}
    for name, value in hardware.items():
        if value:
            facts[name] = plain(", ".join(map(str, value)) if isinstance(value, list) else value)
    return facts or {"packages": "not recorded"}


def _split(committed: CommittedDataset) -> str:
    """Return how samples were divided, with the units of lengths.

    Lengths are in metres if the positions of samples are known.
    """
    split = committed.specification.split
    text = f"{split.method}, seed {split.seed}"
    if split.method != "spatial_block":
        return text
    ground = on_the_ground(committed.samples)
    unit, side = ("m", DEFAULT_METRES) if ground else ("px", DEFAULT_PIXELS)
    return f"{text}, blocks of {split.block or side:g} {unit}, buffer {split.buffer:g} {unit}"


def _features(signature: Signature, committed: CommittedDataset) -> str:
    """Return the names of the model's features in order, with declared wavelengths and units."""
    declared = committed.specification.bands.center_wavelengths or []
    lengths = dict(zip(committed.document.features, declared, strict=False))
    units = committed.specification.units
    names = []
    for name in signature.features:
        known = [f"{lengths[name]:g} µm"] if name in lengths else []
        known += [f"in {plain(units[name])}"] if name in units else []
        names.append(code(name) + (f" ({', '.join(known)})" if known else ""))
    kind = "Features" if signature.view == "row" else "Bands"
    return f"{kind}, in this order: {', '.join(names)}."


def metrics_table(evaluation: Evaluation) -> str:
    """Return the metrics, with confidence intervals where there are any, as a Markdown table."""
    if not evaluation.intervals:
        values = [[plain(name), f"{value:.4f}"] for name, value in evaluation.metrics.items()]
        return table(["metric", "value"], values)
    rows = []
    for name, value in evaluation.metrics.items():
        ends = evaluation.intervals.get(name)
        interval = f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else "–"
        rows.append([plain(name), f"{value:.4f}", interval])
    return table(["metric", "value", f"{CONFIDENCE:.0%} interval"], rows)


def slices_markdown(evaluation: Evaluation) -> str:
    """Return a Markdown table for each division of the test samples, the worst parts first."""
    regression = evaluation.confusion is None
    metrics = ["rmse", "mae", "bias"] if regression else ["accuracy", "macro_f1", "mean_iou"]
    tables = []
    for name, slices in evaluation.slices.items():
        rows = [
            [plain(row["value"]), str(row["samples"]), *(f"{row[each]:.4f}" for each in metrics)]
            for row in slices.head(MAX_SLICES).to_dict(orient="records")
        ]
        tables.append(table([plain(name), "test samples", *metrics], rows))
        if len(slices) > MAX_SLICES:
            tables.append(f"The {MAX_SLICES} worst of {len(slices)}; metrics.json has all.")
    return "\n\n".join(tables)


def per_class_table(evaluation: Evaluation) -> str:
    """Return precision, recall, F1 and IoU of each class as a Markdown table.

    It has '–' for a class without test samples.
    """
    rows = []
    for row in evaluation.per_class.to_dict(orient="records"):
        values = [
            f"{row[name]:.3f}" if row["samples"] else "–"
            for name in ("precision", "recall", "f1", "iou")
        ]
        rows.append([plain(row["class"]), str(row["samples"]), *values])
    return table(["class", "test samples", "precision", "recall", "F1", "IoU"], rows)
