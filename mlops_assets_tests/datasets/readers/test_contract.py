"""The contract of every layout, for every way that training data may lie in a landing."""

from __future__ import annotations

import pytest

from mlops_assets.testing.readers import ReaderCase, ReaderContract
from mlops_assets_tests.datasets.readers.landed_catalogues import CATALOGUES
from mlops_assets_tests.datasets.readers.landed_images import IMAGES
from mlops_assets_tests.datasets.readers.landed_scenes import SCENES
from mlops_assets_tests.datasets.readers.landed_tables import TABLES

ALL = [*TABLES, *IMAGES, *SCENES, *CATALOGUES]


class TestReader(ReaderContract):
    @pytest.fixture(scope="class", params=ALL, ids=str)
    @classmethod
    def case(cls, request: pytest.FixtureRequest) -> ReaderCase:
        case: ReaderCase = request.param
        return case
