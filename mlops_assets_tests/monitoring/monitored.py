"""Monitoring documents of invented days, published as a monitored day publishes them."""

from __future__ import annotations

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.monitoring.document import MonitoringDocument, Rule, Verdict, VersionDay
from mlops_assets.paths import monitoring_key, monitoring_owner
from mlops_assets.store import Store


def version_day(version: str = "v1-a", /, **verdicts: Verdict) -> VersionDay:
    """How a version did on a day, by rule → verdict."""
    return VersionDay(
        version=version,
        data_version="fields@v1",
        run_id=f"run-{version}",
        code_version="c" * 40,
        onnx="0" * 64,
        requests=1000,
        rules=[
            Rule(
                name=name, verdict=verdict, value=0.31, limit=0.2, text=f"{name}: 31 %, limit 20 %"
            )
            for name, verdict in verdicts.items()
        ],
    )


def monitored(
    store: Store, day: str, *versions: VersionDay, model: str = "crops"
) -> MonitoringDocument:
    """The published document of a model on a day of November 2026, given as `02`."""
    document = MonitoringDocument(
        model=model,
        day=f"2026-11-{day}",
        software={},
        inputs={},
        versions=list(versions),
    )
    content = json_bytes(document.model_dump(mode="json"))
    file = store.workspace.put(monitoring_key(model, document.day), content)
    store.registry.add_files(monitoring_owner(model, document.day), [file])
    return document
