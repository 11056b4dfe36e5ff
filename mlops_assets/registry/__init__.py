"""Metadata registry: data versions, runs, metrics, model versions, aliases.

The registry has facts and relations in SQL; the workspace has the bytes.
"""

from mlops_assets.registry.schema import (
    Alarm,
    Alias,
    BrowserSession,
    Checkpoint,
    DataVersion,
    Decision,
    Deployment,
    File,
    GitDelivery,
    Map,
    ModelVersion,
    Promotion,
    Run,
    RunNote,
    SignIn,
    Token,
    WebhookMessage,
)
from mlops_assets.registry.store import Registry, open_registry

__all__ = [
    "Alarm",
    "Alias",
    "BrowserSession",
    "Checkpoint",
    "DataVersion",
    "Decision",
    "Deployment",
    "File",
    "GitDelivery",
    "Map",
    "ModelVersion",
    "Promotion",
    "Registry",
    "Run",
    "RunNote",
    "SignIn",
    "Token",
    "WebhookMessage",
    "open_registry",
]
