"""The card of a model version as one page, for a frame without scripts."""

from __future__ import annotations

from mlops_assets.models.evaluation.card_page import card_page
from mlops_assets.models.evaluation.current_card import card_figures, current_card
from mlops_assets.names import Reference
from mlops_assets.store import Store


def card_html(store: Store, reference: Reference) -> str:
    """Return the card of a model version as of today; text of others in it is text.

    Args:
        store: workspace and registry.
        reference: to the version.

    Raises:
        IntegrityError: the card, or a figure, is not as it was published.
        NotFound: there is no such version that the principal may see.
        StorageError: it was not evaluated yet.
    """
    row = store.registry.model_version(reference)
    return card_page(current_card(store, row), card_figures(store, row))
