"""The model card: what a person should know before using a model version, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_assets.datasets.splits.spatial_blocks import (
    DEFAULT_METRES,
    DEFAULT_PIXELS,
    on_the_ground,
)
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.models.evaluation.bootstrap import CONFIDENCE, MIN_UNITS, REPLICATES
from mlops_assets.models.evaluation.calibration import BINS, Calibration
from mlops_assets.models.evaluation.tally import Evaluation
from mlops_assets.models.parameters import restored
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.model_documents import Signature
from mlops_assets.text.markup import code, paragraphs, plain

MAX_SLICES = 10  # of one division, shown in the card


def model_card(
    specification: ModelSpecification,
    row: ModelVersion,
    run: Run,
    committed: CommittedDataset,
    evaluation: Evaluation,
    figures: Sequence[str] = (),
) -> str:
    """Return the card. Every number in it is taken from the registry or the evaluation.

    Args:
        specification: the model as declared.
        row: the model version.
        run: the run that made it.
        committed: the data version it was trained on.
        evaluation: what was measured.
        figures: names of the figures that lie in `figures/` beside the card.
    """
    dataset = committed.specification
    signature = Signature.of(row)
    methods = sorted({str(entry["type"]) for entry in signature.scaling or []})
    scaling = f"{', '.join(methods)}; done by the ONNX model itself" if methods else "none"
    counts = ", ".join(f"{count} {name}" for name, count in committed.row.counts.items())
    facts = {
        "task": row.task,
        "framework": f"{row.framework}, {plain(signature.architecture)}",
        "input": f"float32, (batch, {', '.join(map(str, signature.shape))}), raw values",
        "scaling": scaling,
        "trained on": (
            f"{committed.reference} ({plain(dataset.title or dataset.name)}), digest"
            f" `{committed.row.digest}`"
        ),
        "samples": counts,
        "split": _split(committed),
        "run": f"`{run.run_id}`, seed {run.seed}",
        "code": f"{code(run.trainer)} at {code(run.code_version)}",
        "data licence": (
            plain(dataset.license)
            + (f", https://doi.org/{plain(dataset.doi)}" if dataset.doi else "")
        ),
    }
    lines = [
        f"# {plain(specification.title or row.model)}: {row.model}@{row.version}",
        "",
        paragraphs(specification.description),
        "",
    ]
    lines += [
        "|  |  |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
    ]
    lines += ["## Input", "", _features(signature, committed), ""]
    if signature.classes:
        names = ", ".join(code(entry.name) for entry in signature.classes)
        lines += [f"Classes, in the order of its scores: {names}.", ""]
    lines += [
        "## Parameters",
        "",
        *(
            f"* {plain(name)}: {code(restored(value))}"
            for name, value in sorted(run.parameters.items())
        ),
        "",
    ]
    lines += [
        "## On the test split, measured with the ONNX model",
        "",
        metrics_table(evaluation),
        "",
    ]
    lines += [_about_intervals(evaluation), ""]
    if not evaluation.per_class.empty:
        lines += [per_class_table(evaluation), ""]
        if evaluation.unmeasured:
            lines += [
                (
                    "Not measured, as the test split has no sample of it:"
                    f" {', '.join(map(plain, evaluation.unmeasured))}."
                ),
                "",
            ]
    if evaluation.slices:
        lines += ["## Where it is worst", "", slices_markdown(evaluation), ""]
    if evaluation.confusion is not None:
        lines += ["## Probabilities", "", _about_calibration(evaluation.calibration), ""]
    lines += [f"![{name.replace('_', ' ')}](figures/{name}.png)" for name in figures]
    return "\n".join(lines)


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
        lines = ["| metric | value |", "|---|---|"]
        return "\n".join(
            lines + [f"| {plain(k)} | {v:.4f} |" for k, v in evaluation.metrics.items()]
        )
    lines = [f"| metric | value | {CONFIDENCE:.0%} interval |", "|---|---|---|"]
    for name, value in evaluation.metrics.items():
        ends = evaluation.intervals.get(name)
        lines.append(
            f"| {plain(name)} | {value:.4f} |"
            f" {f'{ends[0]:.4f} to {ends[1]:.4f}' if ends else '–'} |"
        )
    return "\n".join(lines)


def slices_markdown(evaluation: Evaluation) -> str:
    """Return a Markdown table for each division of the test samples, the worst parts first."""
    shown = (
        ("rmse", "mae", "bias")
        if evaluation.confusion is None
        else ("accuracy", "macro_f1", "mean_iou")
    )
    tables = []
    for name, table in evaluation.slices.items():
        lines = [
            f"| {plain(name)} | test samples | {' | '.join(shown)} |",
            "|---" * (2 + len(shown)) + "|",
        ]
        lines += [
            f"| {plain(row['value'])} | {row['samples']} |"
            f" {' | '.join(f'{row[metric]:.4f}' for metric in shown)} |"
            for row in table.head(MAX_SLICES).to_dict(orient="records")
        ]
        if len(table) > MAX_SLICES:
            lines += ["", f"The {MAX_SLICES} worst of {len(table)}; metrics.json has all."]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _about_intervals(evaluation: Evaluation) -> str:
    if not evaluation.intervals:
        return (
            f"No confidence intervals: the test split has {evaluation.units} {evaluation.unit}, and"
            f" {MIN_UNITS} are needed to see how they differ."
        )
    return (
        f"Intervals are those of {REPLICATES:,} draws with replacement from the"
        f" {evaluation.units:,} {evaluation.unit} of the test split, which are taken to be"
        " independent of each other."
    )


def _about_calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            "Not measured: the model gives no probabilities, or nothing says that its scores are"
            " any."
        )
    source = "the softmax of its scores" if calibration.scores == "logits" else "its scores"
    return (
        f"Its probabilities ({source}) are {calibration.ece:.1%} from how often it is right, on"
        f" average: the expected calibration error, with {BINS} bins."
    )


def per_class_table(evaluation: Evaluation) -> str:
    """Return precision, recall, F1 and IoU of each class as a Markdown table.

    '–' where nothing was measured.
    """
    lines = [
        "| class | test samples | precision | recall | F1 | IoU |",
        "|---|---|---|---|---|---|",
    ]
    for row in evaluation.per_class.to_dict(orient="records"):
        values = [
            f"{row[name]:.3f}" if row["samples"] else "–"
            for name in ("precision", "recall", "f1", "iou")
        ]
        lines.append(f"| {plain(row['class'])} | {row['samples']} | {' | '.join(values)} |")
    return "\n".join(lines)
