"""Parts that pages share: cards, texts, links, dialogs."""
