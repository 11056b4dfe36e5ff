"""The card of a model version as of now: as it was published, and what came after."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlops_assets.models.applicability.document import read_document
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
    """Return the published card, followed by what is known as of now.

    That is aliases, applicability, gates, decisions and signatures.

    Args:
        store: workspace and registry.
        row: an evaluated model version.

    Raises:
        IntegrityError: the card, or the applicability, is not as it was published.
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
        applicability=_applicability(store, row),
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


def _applicability(store: Store, row: ModelVersion) -> str:
    """Return the area of applicability and the errors to expect; "" if it was not measured."""
    document = read_document(store, row)
    if document is None:
        return ""
    found = document.measured
    if found is None:
        return f"Unknown: {plain(document.unknown or '')}."
    facts = {
        "described by": f"{len(found.axes)} {found.space}",
        "largest index inside": f"{found.threshold:.3f}",
        "outside": "–" if found.outside is None else "{:.1%} of {}".format(*found.outside),
        "compared with": plain(found.training.compared),
        "notes": plain("; ".join(document.notes) or "none"),
    }
    text = table(["", ""], facts.items())
    if (profile := found.error_profile()) is None:
        return text
    indices = found.threshold * np.array([0, 0.25, 0.5, 0.75, 1, 1.5, 2], dtype=np.float32)
    rows = [
        [f"{index:.3f}", f"{error:.3f}"]
        for index, error in zip(indices, profile.expected(indices), strict=True)
    ]
    return f"{text}\n\n{table(['index', f'expected {plain(profile.measure)}'], rows)}"


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
