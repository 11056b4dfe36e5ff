"""Search across everything that a workspace has, as far as the principal sees it."""
