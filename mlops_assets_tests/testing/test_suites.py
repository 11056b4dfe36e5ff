"""The published suites pass a good implementation and fail a broken one, run as a user runs them.

One pytest process runs them all, without the settings of this repository.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.slow
DOCUMENT = Path(__file__).parents[2] / "docs/extending.md"
GOOD_READER = "from mlops_assets.datasets.readers import table as reader\n"
BROKEN_READER = """
from mlops_assets.datasets.readers import table

class Shifted:
    def __getattr__(self, name):
        return getattr(table, name)

    def read(self, *arguments):
        return table.read(*arguments) + 1

reader = Shifted()
"""
WORKSPACES = """
import pytest
from mlops_assets.storage import Workspace
from mlops_assets.testing.workspaces import WorkspaceContract

class Truncating(Workspace):
    def get(self, key):
        return super().get(key)[:-1]

class TestGood(WorkspaceContract):
    @pytest.fixture
    def workspace(self, tmp_path):
        return Workspace((tmp_path / "workspace").as_uri())

class TestBroken(WorkspaceContract):
    @pytest.fixture
    def workspace(self, tmp_path):
        return Truncating((tmp_path / "workspace").as_uri())
"""
SOURCES = """
import pytest
from mlops_assets.datasets.sources.folder import FolderLanding
from mlops_assets.testing.sources import SourceContract

class Blind(FolderLanding):
    def changed(self, files):
        return []

class Place:
    def __init__(self, folder, landing):
        self.folder, self.landing, self.url = folder, landing, str(folder)

    def put(self, path, content):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(content)

    def delete(self, path):
        (self.folder / path).unlink()

    def open(self):
        return self.landing(self.folder)

class TestGood(SourceContract):
    @pytest.fixture
    def place(self, tmp_path):
        return Place(tmp_path / "landing", FolderLanding)

class TestBroken(SourceContract):
    @pytest.fixture
    def place(self, tmp_path):
        return Place(tmp_path / "landing", Blind)
"""
FRAMEWORKS = """
import uuid
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from mlops_assets.models.frameworks.scikit_learn import ScikitLearn
from mlops_assets.testing.frameworks import FrameworkContract, ModelCase

class Unstable(ScikitLearn):
    def save(self, model, folder):
        super().save(model, folder)
        (folder / "id.txt").write_text(uuid.uuid4().hex)

def build():
    X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    return LogisticRegression().fit(X, X[:, :3].argmax(axis=1)), X

class Case(FrameworkContract):
    adapter = ScikitLearn()
    files = frozenset({"model.skops"})

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls):
        return ModelCase(cls.adapter, build, cls.files, outputs=frozenset({"label", "scores"}))

class TestGood(Case):
    pass

class TestBroken(Case):
    adapter = Unstable()
    files = frozenset({"model.skops", "id.txt"})
"""
CATALOGUES = """
import pytest
from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.testing.catalogues import CatalogueContract

class Kept:
    name, api = "kept", "https://kept.example/"

    def __init__(self):
        self.records = {}

    def put(self, documents):
        for document in documents:
            collection = document.get("collection", document["id"])
            if "collection" in document and (collection, None) not in self.records:
                raise CatalogueError(f"there is no Collection {collection}", temporary=True)
            item = document["id"] if "collection" in document else None
            self.records[collection, item] = self.kept(self.get(collection, item), document)

    def kept(self, former, document):
        return document

    def get(self, collection, item=None):
        return self.records.get((collection, item))

    def find(self, collection, items):
        found = {item: self.get(collection, item) for item in items}
        return {item: document for item, document in found.items() if document}

    def is_empty(self, collection):
        return not any(item for name, item in self.records if name == collection)

    def delete(self, collection, item=None):
        for key in list(self.records):
            if key == (collection, item) or (item is None and key[0] == collection):
                del self.records[key]

class Merging(Kept):
    def kept(self, former, document):
        properties = {**(former or {}).get("properties", {}), **document.get("properties", {})}
        return {**document, "properties": properties} if properties else document

class Away:
    def __init__(self, url):
        self.url = url

    def refuse(self, *_):
        raise CatalogueError(f"{self.url} is unreachable", temporary=True)

    put = get = find = is_empty = delete = refuse

class Case(CatalogueContract):
    @pytest.fixture
    def unreachable(self):
        return Away

class TestGood(Case):
    @pytest.fixture
    def catalogue(self):
        return Kept()

class TestBroken(Case):
    @pytest.fixture
    def catalogue(self):
        return Merging()
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Class of tests → names of those that failed; every class ran at least one."""
    folder = tmp_path_factory.mktemp("own")
    block = re.search(r"```python\n(import numpy.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert block is not None
    for name, reader in (("good", GOOD_READER), ("broken", BROKEN_READER)):
        (folder / f"{name}_reader.py").write_text(reader)
        tests = block[1].replace("my_reader", f"{name}_reader")
        (folder / f"test_{name}_reader.py").write_text(tests)
    for name, tests in (
        ("workspaces", WORKSPACES),
        ("sources", SOURCES),
        ("models", FRAMEWORKS),
        ("catalogues", CATALOGUES),
    ):
        (folder / f"test_own_{name}.py").write_text(tests)
    report = folder / "report.xml"
    # kmock's plugin needs pytest-asyncio, which is not installed
    plugins = ("-p", "no:cacheprovider", "-p", "no:kmock")
    # a process of its own: assertions are rewritten when the suites are first imported
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *plugins],
        cwd=folder,
        check=False,
        capture_output=True,
    )
    found: dict[str, set[str]] = {}
    for test in ElementTree.parse(report).iter("testcase"):
        failures = found.setdefault(test.attrib["classname"], set())
        if test.find("failure") is not None or test.find("error") is not None:
            failures.add(test.attrib["name"].partition("[")[0])
    return found


@pytest.mark.parametrize(
    ("good", "broken", "caught"),
    [
        (
            "test_good_reader.TestReader",
            "test_broken_reader.TestReader",
            "test_samples_are_read_as_they_were_landed",
        ),
        (
            "test_own_sources.TestGood",
            "test_own_sources.TestBroken",
            "test_a_removed_file_is_noticed",
        ),
        (
            "test_own_models.TestGood",
            "test_own_models.TestBroken",
            "test_the_native_form_is_safe_and_gives_the_model_back",
        ),
        (
            "test_own_workspaces.TestGood",
            "test_own_workspaces.TestBroken",
            "test_content_is_read_back_with_its_checksum",
        ),
        (
            "test_own_catalogues.TestGood",
            "test_own_catalogues.TestBroken",
            "test_a_changed_record_replaces_the_former_one",
        ),
    ],
    ids=["reader", "source", "framework", "workspace", "catalogue"],
)
def test_a_suite_passes_a_good_implementation_and_fails_a_broken_one(
    failed: dict[str, set[str]], good: str, broken: str, caught: str
) -> None:
    assert failed[good] == set()
    assert caught in failed[broken]
