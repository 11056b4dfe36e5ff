"""The model card: what a person should know before using a model version, in Markdown."""

from __future__ import annotations

from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.training.evaluation import Evaluation
from mlops_assets.training.specification import ModelSpecification


def model_card(
    specification: ModelSpecification, row: ModelVersion, run: Run, frozen: FrozenDataset, evaluation: Evaluation
) -> str:
    """Return the card. Every figure in it is taken from the registry or the evaluation."""
    dataset = frozen.specification
    methods = sorted({entry["type"] for entry in row.signature.get("scaling") or []})
    scaling = f"{', '.join(methods)}; done by the ONNX model itself" if methods else "none"
    counts = ", ".join(f"{count} {name}" for name, count in frozen.row.counts.items())
    facts = {
        "task": row.task,
        "framework": f"{row.framework}, {row.signature['architecture']}",
        "input": f"float32, (batch, {', '.join(map(str, row.signature['shape']))}), raw values",
        "scaling": scaling,
        "trained on": f"{frozen.reference} ({dataset.title or dataset.name}), digest `{frozen.row.digest}`",
        "samples": counts,
        "split": f"{dataset.split.method}, seed {dataset.split.seed}, buffer {dataset.split.buffer} px",
        "run": f"`{run.run_id}`, seed {run.seed}",
        "code": f"`{run.trainer}` at `{run.code_version}`",
        "data licence": dataset.license + (f", https://doi.org/{dataset.doi}" if dataset.doi else ""),
    }
    lines = [f"# {specification.title or row.model}: {row.model}@{row.version}", "", specification.description, ""]
    lines += ["|  |  |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items()), ""]
    lines += ["## Parameters", "", *(f"* {name}: `{value}`" for name, value in sorted(run.parameters.items())), ""]
    lines += ["## On the test split, measured with the ONNX model", "", metrics_table(evaluation), ""]
    if not evaluation.per_class.empty:
        lines += [per_class_table(evaluation), ""]
        absent = evaluation.per_class.loc[evaluation.per_class["samples"] == 0, "class"].tolist()
        if absent:
            lines += [f"Not measured, as no test sample is left: {', '.join(absent)}.", ""]
    return "\n".join(lines)


def metrics_table(evaluation: Evaluation) -> str:
    """Return the metrics as a Markdown table."""
    return "\n".join(
        ["| metric | value |", "|---|---|", *(f"| {k} | {v:.4f} |" for k, v in evaluation.metrics.items())]
    )


def per_class_table(evaluation: Evaluation) -> str:
    """Return precision, recall, F1 and IoU of each class as a Markdown table; '–' where nothing was measured."""
    lines = ["| class | test samples | precision | recall | F1 | IoU |", "|---|---|---|---|---|---|"]
    for row in evaluation.per_class.to_dict(orient="records"):
        values = [f"{row[name]:.3f}" if row["samples"] else "–" for name in ("precision", "recall", "f1", "iou")]
        lines.append(f"| {row['class']} | {row['samples']} | {' | '.join(values)} |")
    return "\n".join(lines)
