"""The models of a server: loaded, verified, and swapped when their aliases move.

What is served is replaced by reference: a request keeps the session that it has, and the last of
them releases it. A session that cannot be loaded replaces nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Event, Lock, RLock, Thread

from mlops_assets.errors import MlopsError, ModelUnavailable, NotFound, StorageError
from mlops_assets.models.onnx.session import Provider
from mlops_assets.names import Reference
from mlops_assets.serving.sessions.interface import ModelStatus, Session
from mlops_assets.serving.sessions.load import Runners, load_session
from mlops_assets.serving.sessions.slots import Slot
from mlops_assets.serving.sessions.targets import Target, targets_of
from mlops_assets.store import Store

DEFAULT_ALIAS = "production"
POLL_SECONDS = 1.0

log = logging.getLogger(__name__)


class ModelRepository:
    """Model versions that are served, by the references that they were declared with."""

    def __init__(
        self,
        store: Store,
        references: Sequence[Reference],
        provider: Provider = "cpu",
        threads: int = 1,
    ) -> None:
        """Load models. One that cannot be loaded is reported by its status, and tried again.

        Args:
            store: workspace and registry.
            references: `MODEL@ALIAS` or `MODEL@VERSION`; `MODEL` is its production.
            provider: the device that models run on.
            threads: that one request runs on; as many as there are processors if 0.

        Raises:
            NotFound: the registry has no version of a model.
            StorageError: the registry cannot be read.
        """
        self._store = store
        self._models: dict[str, list[Slot]] = {}
        for reference in dict.fromkeys(map(_with_alias, references)):
            self._models.setdefault(reference.name, []).append(Slot(reference))
        self._runners = Runners(provider, threads)
        self._unloaded: set[str] = set()
        # of what is served, held for moments; and of loading, held for as long as that takes
        self._lock = Lock()
        self._loading = RLock()
        self._reachable = True
        self._closed = Event()
        self._watcher: Thread | None = None
        for name in self._models:
            # typing errors are reported at once
            store.registry.model_version(Reference(name))
        self._update(self._models)

    def names(self) -> list[str]:
        """Return the names of all models, loaded or not, sorted."""
        return sorted(self._models)

    def versions(self, name: str) -> list[str]:
        """Return the loaded versions of a model.

        Raises:
            NotFound: the server has no such model.
        """
        sessions = [slot.session for slot in self._slots(name)]
        return list(dict.fromkeys(own.served.version for own in sessions if own is not None))

    def session(self, name: str, version: str | None = None) -> Session:
        """Return a loaded version, which its holder can use whatever replaces it.

        Args:
            name: of the model.
            version: of the model, or an alias; the first alias that was declared if None.

        Raises:
            NotFound: the server has no such model or version.
            ModelUnavailable: it is unloaded, or could not be loaded.
        """
        slots = self._slots(name)
        if version is None:
            return slots[0].require()
        for slot in slots:
            session = slot.session
            if session is not None and session.served.version == version:
                return session
        for slot in slots:
            if version == slot.reference.what:
                return slot.require()
        for slot in slots:
            if version == slot.wanted:
                session = slot.require()
                # whoever names a version must not be answered by the one before it
                if session.served.version != version:
                    raise ModelUnavailable(slot.reason or f"version {version} is not loaded yet")
                return session
        raise NotFound(
            f"model {name} has no version {version!r} here; it has"
            f" {', '.join(self.versions(name)) or 'none'}"
        )

    def status(self, name: str) -> list[ModelStatus]:
        """Return the state of a model's versions, one for each of its references.

        Raises:
            NotFound: the server has no such model.
        """
        return [slot.status() for slot in self._slots(name)]

    def load(self, name: str) -> None:
        """Load what the aliases of a model are now.

        Raises:
            NotFound: the server has no such model.
            ModelUnavailable: it cannot be loaded; what was loaded stays.
        """
        slots = self._slots(name)
        with self._loading:
            with self._lock:
                self._unloaded.discard(name)
                for slot in slots:
                    slot.retry()
            try:
                self._update([name])
            except StorageError as error:
                raise ModelUnavailable(f"model {name} cannot be loaded: {error}") from error
        problems = [slot.reason for slot in slots if slot.reason is not None]
        if problems:
            raise ModelUnavailable("; ".join(problems))

    def unload(self, name: str) -> None:
        """Stop serving a model until it is loaded again.

        Raises:
            NotFound: the server has no such model.
        """
        slots = self._slots(name)
        with self._lock:
            self._unloaded.add(name)
            for slot in slots:
                slot.clear("is unloaded; load it to use it")

    def watch(self, seconds: float = POLL_SECONDS) -> None:
        """Follow the aliases from now on, in a thread, until `close`.

        Args:
            seconds: polling interval.
        """
        self._watcher = Thread(target=self._watch, args=(seconds,), name="models", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop following the aliases; what is loaded stays usable."""
        self._closed.set()
        if self._watcher is not None:
            self._watcher.join()

    def poll(self) -> None:
        """Load what aliases have moved to; where the registry is unreachable, change nothing."""
        try:
            self._update(self._models)
        except StorageError as error:
            if self._reachable:
                log.warning("models are served as they are: %s", error)
            self._reachable = False
        else:
            if not self._reachable:
                log.warning("the registry is reachable again")
            self._reachable = True

    def _watch(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            try:
                self.poll()
            # the thread must outlive whatever it meets, as nothing else would follow the aliases
            except Exception:
                log.exception("the aliases of models could not be followed")

    def _slots(self, name: str) -> list[Slot]:
        try:
            return self._models[name]
        except KeyError:
            raise NotFound(
                f"no model {name!r} is served here; there are {', '.join(self.names()) or 'none'}"
            ) from None

    def _update(self, names: Iterable[str]) -> None:
        """Bring models to what their aliases are, but for those that are unloaded.

        Raises:
            StorageError: the registry cannot be read.
        """
        with self._loading:
            slots = [
                slot for name in names if name not in self._unloaded for slot in self._slots(name)
            ]
            targets = targets_of(self._store.registry, [slot.reference for slot in slots])
            for slot in slots:
                self._bring(slot, targets.get(slot.reference))

    def _bring(self, slot: Slot, target: Target | None) -> None:
        if target is None:
            self._set(slot, partial(slot.clear, _missing(slot.reference)))
            return
        if not slot.needs(target):
            return
        try:
            session = load_session(self._store, target, self._runners)
        except MlopsError as error:
            reason = slot.failure(target, error)
            if slot.reason != reason:
                log.warning("%s", reason)
            self._set(slot, partial(slot.fail, target, reason))
            return
        log.info("%s is %s now", slot.reference, target.row.version)
        self._set(slot, partial(slot.swap, target, session))

    def _set(self, slot: Slot, change: Callable[[], None]) -> None:
        """Change what is served, unless the model was unloaded meanwhile."""
        with self._lock:
            if slot.reference.name not in self._unloaded:
                change()


def _missing(reference: Reference) -> str:
    """Return why nothing is served by a reference that names no version, and what to do."""
    name = reference.name
    if reference.what == DEFAULT_ALIAS:
        return f"names no model version; run 'mlops model promote {name}'"
    return f"names no model version; see 'mlops model list {name}'"


def _with_alias(reference: Reference) -> Reference:
    return Reference(reference.name, reference.what or DEFAULT_ALIAS)
