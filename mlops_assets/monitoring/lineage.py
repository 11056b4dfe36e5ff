"""The chain behind a monitored day, from its live metrics down to the checksums of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_assets.lineage.chain import ModelLineage, model_lineage
from mlops_assets.monitoring.document import MonitoringDocument
from mlops_assets.monitoring.verify import former_inputs
from mlops_assets.names import Reference
from mlops_assets.paths import monitoring_key
from mlops_assets.store import Store


@dataclass(frozen=True)
class VersionChain:
    """A model version that was served, and what is behind it.

    Attributes:
        requests: to it on the day.
        live: metric of samples with labels → its value.
        labels: samples with a label.
        estimated: metric → what it is expected to be, without labels.
        rules: rule → its verdict.
        chain: behind the model version: run, code, data versions, files.
    """

    requests: int
    live: dict[str, float]
    labels: int
    estimated: dict[str, float]
    rules: dict[str, str]
    chain: ModelLineage


@dataclass(frozen=True)
class DayLineage:
    """The chain behind a monitored day.

    Attributes:
        model: its name.
        day: `YYYY-MM-DD`, UTC.
        document: key of `monitoring.json`.
        sha256: of it.
        inputs: published files that it was made from → sha256.
        former: of them, those that have changed since, or are published no more → why.
        versions: that were served, the one with most requests first.
    """

    model: str
    day: str
    document: str
    sha256: str
    inputs: dict[str, str]
    former: dict[str, str]
    versions: list[VersionChain]


def day_lineage(store: Store, document: MonitoringDocument) -> DayLineage:
    """Return the chain behind a monitored day.

    Args:
        store: workspace and registry.
        document: of the day, as published, as far as the principal may see it.

    Raises:
        IntegrityError: a document behind it is not as it was published.
        NotFound: a model version is not in the registry.
        StorageError: a document cannot be read.
    """
    key = monitoring_key(document.model, document.day)
    (file,) = store.registry.files_at(key)
    return DayLineage(
        model=document.model,
        day=document.day,
        document=key,
        sha256=file.sha256,
        inputs=dict(document.inputs),
        former=former_inputs(store, document),
        versions=[
            _version_chain(store, document, place) for place in range(len(document.versions))
        ],
    )


def _version_chain(store: Store, document: MonitoringDocument, place: int) -> VersionChain:
    own = document.versions[place]
    live, estimate = own.live, own.estimate
    value = None if estimate is None else estimate.value
    return VersionChain(
        requests=own.requests,
        live={} if live is None else {name: each.value for name, each in live.metrics.items()},
        labels=0 if live is None else live.samples,
        estimated={} if estimate is None or value is None else {estimate.metric: value.value},
        rules={rule.name: rule.verdict for rule in own.rules},
        chain=model_lineage(store, Reference(document.model, own.version)),
    )


def lineage_lines(found: DayLineage) -> Iterator[str]:
    """Yield the chain of a day as indented lines, each behind the one above it.

    Args:
        found: the chain.
    """
    for own in found.versions:
        chain = own.chain
        yield f"{chain.reference} on {found.day}: {own.requests:,} requests"
        for name, value in own.live.items():
            if "." not in name:
                yield f"  live {name} {value:.4f} on {own.labels:,} labels"
        for name, value in own.estimated.items():
            yield f"  estimated {name} {value:.4f}, without labels"
        yield f"    {found.document} sha256 {found.sha256}"
        for path, sha256 in found.inputs.items():
            note = f" ({found.former[path]})" if path in found.former else ""
            yield f"      {path} sha256 {sha256}{note}"
        yield from _chain_lines(chain)


def _chain_lines(chain: ModelLineage) -> Iterator[str]:
    yield f"    model version {chain.reference}"
    run = chain.run
    if run is None:
        yield "      run that you may not see"
    else:
        by = run.created_by or "unknown"
        yield f"      run {run.run_id} by {by}, trainer {run.trainer}, seed {run.seed}"
        commit = run.code.get("commit")
        yield f"        code {run.code_version}" + (f", commit {commit}" if commit else "")
    for data in chain.data:
        yield f"      data version {data.reference} digest {data.digest}"
        for file in data.files:
            yield f"        {file.path} sha256 {file.sha256}"
    for reference in chain.hidden:
        yield f"      data version {reference}, which you may not see"
    for reference in chain.unknown:
        yield f"      data version {reference}, which the registry does not have"
