"""Rows of the registry, for tests that do not ask what is in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mlops_assets.names import Reference
from mlops_assets.registry import (
    DataVersion,
    Deployment,
    GitDelivery,
    Map,
    ModelVersion,
    Run,
    WebhookMessage,
)
from mlops_assets.registry.promotion.alarms import FailedRule
from mlops_assets.registry.schema import Removal
from mlops_assets.registry.session import now


def data_version(number: int = 1, **changes: Any) -> DataVersion:
    row: dict[str, Any] = {
        "dataset": "fields",
        "version": f"v{number}",
        "number": number,
        "digest": f"{number:064d}",
        "created": now(),
        "created_by": "tester",
        "files": 1,
        "samples": 10,
        "size": 3,
        "specification": {},
        "counts": {"train": 10},
    }
    return DataVersion(**row | changes)


def new_run(run_id: str = "run-1", **changes: Any) -> Run:
    row: dict[str, Any] = {
        "run_id": run_id,
        "model": "crops",
        "dataset": "fields",
        "data_version": "v1",
        "data_digest": "0" * 64,
        "status": "running",
        "parameters": {},
        "seed": 0,
        "trainer": "t",
        "code_version": "c",
        "hardware": {},
        "metrics": {},
        "started": now(),
        "host": "h",
        "pid": 1,
    }
    return Run(**row | changes)


def model_version(version: str, run_id: str, age: int = 0) -> ModelVersion:
    return ModelVersion(
        model="crops",
        version=version,
        run_id=run_id,
        dataset="fields",
        data_version="v1",
        data_digest="0" * 64,
        task="classification",
        framework="sklearn",
        signature={},
        stage="trained",
        metrics={},
        created=now() - timedelta(days=age),
    )


def map_row(version: str, name: str = "scene", **changes: Any) -> Map:
    row: dict[str, Any] = {
        "model": "crops",
        "version": version,
        "name": name,
        "dataset": "fields",
        "data_version": "v1",
        "run_id": "run-1",
        "area": None,
        "day": "2026-05-01",
        "input_digest": "1" * 64,
        "digest": "2" * 64,
        "outside": 0.25,
        "collection": "crops-maps",
        "item": f"crops-{version}-{name}",
        "created": now(),
        "created_by": "tester",
    }
    return Map(**row | changes)


def deployment(version: str, model: str = "crops") -> Deployment:
    return Deployment(
        service="crop_service",
        model=model,
        version=version,
        engine="embedded",
        action="deployed",
        sha256="3" * 64,
        details={"url": "http://127.0.0.1:8000"},
        reason="approved",
    )


def failed_rule(
    version: str, day: str, text: str = "21 % are outside", model: str = "crops"
) -> FailedRule:
    return FailedRule(Reference(model, version), "max_outside", day, text)


def webhook_message(message_id: str, state: str = "pending", body: str = "{}") -> WebhookMessage:
    return WebhookMessage(
        id=message_id,
        webhook="team",
        event="model.promoted",
        body=body,
        created=now(),
        state=state,
        attempts=0,
        due=now() if state == "pending" else None,
    )


def git_delivery(sha256: str) -> GitDelivery:
    return GitDelivery(
        sha256=sha256,
        webhook="team",
        repository="team/fieldwork",
        ref="refs/heads/main",
        commit="0" * 40,
        received=now(),
    )


def removal(kind: str = "objects") -> Removal:
    return Removal(kind=kind, files=2, size=10, sha256="e" * 64, rule="no row names them")
