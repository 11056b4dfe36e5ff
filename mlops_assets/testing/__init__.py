"""Contract suites for your own readers, sources, framework adapters, object stores and catalogues.

Subclass a suite in a module of tests and give it the fixture that it asks for; pytest collects the
rest. The suites need the extra `test`, and nothing of the platform imports them.
"""

import pytest

# else a failed assertion of a suite would not show the values that it compared
pytest.register_assert_rewrite(
    "mlops_assets.testing.catalogues",
    "mlops_assets.testing.frameworks",
    "mlops_assets.testing.reader_assertions",
    "mlops_assets.testing.readers",
    "mlops_assets.testing.sources",
    "mlops_assets.testing.workspaces",
)
