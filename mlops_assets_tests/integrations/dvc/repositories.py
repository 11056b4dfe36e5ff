"""Git repositories with data in DVC's formats, made by hand: no `dvc` is needed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class DvcByHand:
    """A repository whose remote is the folder beside it, `../storage`.

    Attributes:
        folder: of the repository.
        remote: folder with the objects.
    """

    def __init__(self, folder: Path, legacy: bool = False) -> None:
        self.folder = folder
        self.remote = folder.with_name("storage")
        self._legacy = legacy
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write(
            ".dvc/config",
            "[core]\n    remote = here\n['remote \"here\"']\n    url = ../../storage\n",
        )
        self.remote.mkdir()

    def git(self, *arguments: str, when: str = "2024-05-01T12:00:00+02:00") -> str:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("GIT_")
        }
        environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {
                f"GIT_{role}_NAME": "Ada",
                f"GIT_{role}_EMAIL": "ada@example.org",
                f"GIT_{role}_DATE": when,
            }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def commit(self, message: str, *tags: str, when: str = "2024-05-01T12:00:00+02:00") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message, when=when)
        for tag in tags:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def push(self, content: bytes, suffix: str = "") -> str:
        """Put an object into the remote; return its md5."""
        is_text = self._legacy and b"\0" not in content
        plain = content.replace(b"\r\n", b"\n") if is_text else content
        md5 = hashlib.md5(plain).hexdigest()
        self.object(md5 + suffix).parent.mkdir(parents=True, exist_ok=True)
        self.object(md5 + suffix).write_bytes(content)
        return md5

    def object(self, md5: str) -> Path:
        folder = self.remote if self._legacy else self.remote / "files" / "md5"
        return folder / md5[:2] / md5[2:]

    def entry(self, path: str, content: bytes | Mapping[str, bytes]) -> str:
        """Push a file or a folder; return its entry of `outs` as YAML."""
        if isinstance(content, bytes):
            md5 = self.push(content)
        else:
            listed = [{"md5": self.push(data), "relpath": name} for name, data in content.items()]
            md5 = self.push(json.dumps(listed).encode(), ".dir") + ".dir"
        algorithm = "" if self._legacy else ", hash: md5"
        return f"{{md5: {md5}, path: {path}{algorithm}}}"

    def add(self, path: str, content: bytes | Mapping[str, bytes]) -> None:
        """Track a file or a folder, as `dvc add` does."""
        name = path.rpartition("/")[2]
        self.write(f"{path}.dvc", f"outs:\n- {self.entry(name, content)}\n")
