"""The card of a model version as of now: as it was published, and what came after."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_assets.models.approval.standing import EVIDENCE, decided_files
from mlops_assets.models.signing.trust import Trust
from mlops_assets.models.signing.verify import check_signatures, signature_names
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.registry import ModelVersion, Promotion
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.session import now
from mlops_assets.store import Store
from mlops_assets.text.markup import plain, table
from mlops_assets.text.templates import template


def current_card(store: Store, row: ModelVersion) -> str:
    """Return the published card, followed by aliases, gates, decisions and signatures as of now.

    Args:
        store: workspace and registry.
        row: an evaluated model version.

    Raises:
        IntegrityError: the card is not as it was published.
        SettingsError: `MLOPS_TRUST` cannot be used.
        StorageError: it was not evaluated yet.
    """
    key = f"{model_folder(row.model, row.version)}/model-card.md"
    card = read_published(store.workspace, store.registry, key).decode()
    promotions = [own for own in store.registry.promotions(row.model) if own.version == row.version]
    aliases = store.registry.all_aliases().get((row.model, row.version), [])
    facts = {
        "stage": row.stage,
        "aliases": ", ".join(aliases) or "none",
        "visibility": row.visibility,
    }
    trust = Trust.configured()
    later = template("mlops_assets.models.evaluation", "current_card.md.j2").render(
        today=f"{now():%Y-%m-%d}",
        facts=table(["", ""], facts.items()),
        gates=_gates(promotions),
        decisions=_decisions(store, row),
        trusted=trust is not None,
        signatures=(
            signature_names(store, row) if trust is None else _signatures(store, row, trust)
        ),
    )
    return f"{card.rstrip()}\n\n{later.rstrip()}\n"


def card_figures(store: Store, row: ModelVersion) -> Mapping[str, bytes]:
    """Return name → PNG of the figures of a model version.

    Raises:
        IntegrityError: one is not as it was published.
    """
    folder = f"{model_folder(row.model, row.version)}/figures/"
    return {
        file.path.removeprefix(folder).removesuffix(".png"): read_published(
            store.workspace, store.registry, file.path
        )
        for file in store.registry.files(model_owner(row.model, row.version))
        if file.path.startswith(folder)
    }


def _gates(promotions: list[Promotion]) -> str:
    """Return each gate of each promotion as a row; nothing if there are none."""
    rows = [
        [
            f"{promotion.moved:%Y-%m-%d}",
            plain(promotion.alias),
            plain(promotion.moved_by),
            plain(gate["gate"]),
            "passed" if gate["passed"] else "FAILED",
            "–" if gate["value"] is None else f"{float(gate['value']):.4f}",
            plain(promotion.reason or "–"),
        ]
        for promotion in promotions
        for gate in (promotion.gates or [{"gate": "none declared", "passed": True, "value": None}])
    ]
    return (
        table(["moved", "alias", "by", "gate", "verdict", "value", "reason"], rows) if rows else ""
    )


def _decisions(store: Store, row: ModelVersion) -> str:
    """Return each decision of people as a row, the oldest first; nothing if there are none."""
    files = decided_files(store.registry, row)
    rows = []
    for made in store.registry.decisions(row.model, row.version):
        replaced = [name for name in EVIDENCE if made.sha256.get(name) != files.get(name)]
        since = f"; {', '.join(replaced)} was replaced since" if replaced else ""
        rows.append(
            [
                f"{made.decided:%Y-%m-%d}",
                f"{made.decision}{since}",
                plain(made.decided_by),
                plain(made.reason),
            ]
        )
    return table(["decided", "decision", "by", "reason"], rows) if rows else ""


def _signatures(store: Store, row: ModelVersion, trust: Trust) -> str:
    rows = [
        [plain(own.name), plain(own.signer or "–"), plain(own.problem or "valid")]
        for own in check_signatures(store, row, trust)
    ]
    return table(["signature", "signer", "verdict"], rows) if rows else ""
