"""Packs: the same bytes anywhere, whatever their number of entries; other programs open them."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from mlops_assets.storage import sha256_of
from mlops_assets.storage.packs import Pack

CONTENTS = [f"{number}".encode() * 3 for number in range(70_000)]  # more than 16 bits count


@pytest.fixture(scope="module")
def large() -> Pack:
    pack = Pack()
    for content in CONTENTS:
        pack.add(sha256_of(content), content)
    pack.close()
    return pack


def test_every_one_of_very_many_entries_is_where_the_pack_states(large: Pack) -> None:
    content = large.content()
    found = [
        bytes(content[offset : offset + len(expected)])
        for offset, expected in zip(large.offsets.values(), CONTENTS, strict=True)
    ]
    assert found == CONTENTS
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        assert file.namelist() == list(large.offsets)


def test_the_same_entries_in_the_same_order_are_the_same_pack_on_any_day() -> None:
    pack = Pack()
    for content in (b"a", b"", b"b" * 1000):
        pack.add(sha256_of(content), content)
    digest = hashlib.sha256(pack.content()).hexdigest()
    assert digest == "5728f65bdff4c69723f0a47f89c3eb36fbb2dff13024f23199334c7767ad85a7"


@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip")
def test_unzip_tests_and_unpacks_it(large: Pack, tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(large.content())
    name = sha256_of(CONTENTS[-1])
    subprocess.run(["unzip", "-tqq", path], check=True)
    subprocess.run(["unzip", "-q", path, name, "-d", tmp_path], check=True)
    assert (tmp_path / name).read_bytes() == CONTENTS[-1]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o644
