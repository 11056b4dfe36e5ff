"""What the pushes of git servers start: runs of the project, in the queue of the hub's Dagster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mlops_assets.components.project.definitions import DeclaredModels
from mlops_assets.errors import MlopsError, NotFound
from mlops_assets.hub.orchestration.launcher import Launched, Launcher, TrainingRequest
from mlops_assets.integrations.git_webhooks.declaration import DeclaredGitWebhook, TrainedByPush
from mlops_assets.integrations.git_webhooks.pushes import Push
from mlops_assets.names import Reference
from mlops_assets.registry import GitDelivery
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

# tags of the runs that a push starts
COMMIT, REF, REPOSITORY, WEBHOOK = "git.commit", "git.ref", "git.repository", "git.webhook"


@dataclass(frozen=True)
class Received:
    """What came of a request of a git server.

    Attributes:
        outcome: `launched`; `ignored`, as nothing of it counts; or `known`, as it has come before.
        reason: why it is ignored; empty if it is not.
        launched: the runs that it has started.
        errors: why others were not started, one each.
    """

    outcome: Literal["launched", "ignored", "known"]
    reason: str = ""
    launched: list[Launched] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PushStarter:
    """Starts what a webhook declares, for its principal.

    Attributes:
        store: workspace and registry.
        models: that the project declares.
        launcher: launches runs.
    """

    store: Store
    models: DeclaredModels
    launcher: Launcher

    def receive(self, webhook: DeclaredGitWebhook, pushes: list[Push]) -> Received:
        """Start what the pushes of one request start, once.

        Args:
            webhook: that the server has called; its proof was checked.
            pushes: that the request states.

        Raises:
            Forbidden: the principal may not.
            MlopsError: nothing could be started, for the first of the reasons; the request may be
                sent again.
        """
        reasons = [push.ignored(webhook) for push in pushes]
        counting = [push for push, reason in zip(pushes, reasons, strict=True) if not reason]
        if not counting:
            return Received("ignored", reasons[0] if reasons else "it is not of a push")
        push = counting[0]  # of several branches in one push, which start the same
        store = self.store.acting(webhook.principal)
        row = GitDelivery(
            sha256=push.sha256,
            webhook=webhook.name,
            repository=push.repository,
            ref=push.ref,
            commit=push.commit,
            received=now(),
        )
        if not store.registry.add_git_delivery(row):
            return Received("known")
        launched: list[Launched] = []
        errors: list[MlopsError] = []
        try:
            for start in self._starts(store, webhook, push):
                try:
                    launched.append(start())
                except MlopsError as error:
                    errors.append(error)
        finally:
            # whatever Dagster's storage or a code server raises: the server may send it again
            if not launched:
                store.registry.forget_git_delivery(push.sha256)
        if not launched:
            raise errors[0]
        return Received("launched", "", launched, [redacted(str(error)) for error in errors])

    def _starts(
        self, store: Store, webhook: DeclaredGitWebhook, push: Push
    ) -> list[Callable[[], Launched]]:
        found: list[Callable[[], Launched]] = [
            lambda dataset=dataset: self.launcher.commit(store, dataset)  # type: ignore[misc]
            for dataset in webhook.commit
        ]
        tags = {
            COMMIT: str(push.commit),
            REF: push.ref,
            REPOSITORY: push.repository,
            WEBHOOK: webhook.name,
        }
        return found + [lambda each=each: self._train(store, each, tags) for each in webhook.train]

    def _train(self, store: Store, trained: TrainedByPush, tags: dict[str, str]) -> Launched:
        declared = self.models.get(trained.model)
        if declared is None:
            raise NotFound(f"the project of this hub does not declare the model {trained.model!r}")
        data = Reference.parse(trained.data) if trained.data else Reference(declared.dataset)
        return self.launcher.train(store, TrainingRequest(trained.model, data, tags=tags))
