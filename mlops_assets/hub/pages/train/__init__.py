"""The page that starts a training or a sweep."""
