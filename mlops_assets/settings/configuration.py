"""Variables from mounted Secrets and files, which `MLOPS_CONFIG` names, in the environment.

They are put into the environment of this process, so that libraries and child processes find them
there, and again whenever they have changed. What the environment has of its own wins.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from stat import S_ISREG
from threading import RLock

from dotenv.parser import parse_stream

from mlops_assets.errors import SettingsError

CONFIG = "MLOPS_CONFIG"
# names and digests of the values that come from there, for child processes: these they read again
APPLIED = "MLOPS_CONFIG_APPLIED"
CA_BUNDLE = "MLOPS_CA_BUNDLE"
# what boto3 and the client library of PostgreSQL read for it
_LIBRARIES_CA = ("AWS_CA_BUNDLE", "PGSSLROOTCERT")
MAX_VALUE_BYTES = 1 << 20  # of a Secret of Kubernetes as a whole
# other names that Secrets have for what we and our libraries read
VARIABLES: Mapping[str, str] = {
    "bucket": "MLOPS_WORKSPACE",
    "bucketname": "MLOPS_WORKSPACE",
    "registry": "MLOPS_REGISTRY",
    "endpoint": "AWS_ENDPOINT_URL",
    "region": "AWS_REGION",
    "access": "AWS_ACCESS_KEY_ID",
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret": "AWS_SECRET_ACCESS_KEY",  # nosec B105 — a name
    "secret_key": "AWS_SECRET_ACCESS_KEY",  # nosec B105 — a name
    "session_token": "AWS_SESSION_TOKEN",  # nosec B105 — a name
    "client_id": "MLOPS_CLIENT_ID",
    "client_secret": "MLOPS_CLIENT_SECRET",  # nosec B105 — a name
}
# files whose path is the value
FILES: Mapping[str, str] = {
    "ca.crt": CA_BUNDLE,
    "identity.yaml": "MLOPS_IDENTITY",
    "gateway.yaml": "MLOPS_GATEWAY",
    "catalogues.yaml": "MLOPS_CATALOGUES",
    "webhooks.yaml": "MLOPS_WEBHOOKS",
    "issues.yaml": "MLOPS_ISSUES",
    "trust.yaml": "MLOPS_TRUST",
    "signing.pem": "MLOPS_SIGNING_KEY",
}
_EXAMPLES = ("bucket", "endpoint", "registry", "MLOPS_WORKSPACE")  # keys, for a message
# each is of no use without the other
_PAIRS = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),)
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# decide what code a process, its interpreter, its libraries or a git that it calls run, or where
# this is read: a Secret is for data only
_REFUSED = re.compile(
    r"PATH|HOME|SHELL|ENV|IFS|PROMPT_COMMAND|BASH.*|LD_.*|DYLD_.*|GLIBC_.*|GCONV_PATH|MALLOC_.*"
    r"|PYTHON.*|PERL5.*|RUBY(?:OPT|LIB)|NODE_(?:OPTIONS|PATH)|_?JAVA_.*|OPENSSL_.*|.*PAGER|.*EDITOR"
    r"|GIT_(?:ASKPASS|CONFIG.*|DIR|EXEC_PATH|EXTERNAL_DIFF|PROXY_COMMAND|SSH.*|TEMPLATE_DIR|TRACE.*"
    r"|WORK_TREE)|GDAL_DRIVER_PATH|.*_PLUGIN_PATH|TORCH_EXTENSIONS_DIR|MLOPS_CONFIG.*"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# a key in JSON or PEM form may have several lines
_MAY_HAVE_LINES = re.compile(r"GOOGLE_.*|.*_PEM|.*_JSON")
# a line of a file that has no name; it may be a value, as of a file with nothing but a password
_NO_NAME = "a line without NAME=VALUE"
_lock = RLock()
_seen: tuple[object, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """What the folders and files of `MLOPS_CONFIG` hold.

    Attributes:
        values: by the name of a variable.
        sources: name of a variable → the file that it is from.
        ignored: files and names that are neither a variable nor in the tables above.
    """

    values: Mapping[str, str]
    sources: Mapping[str, Path]
    ignored: tuple[str, ...] = ()


def current_environment() -> Mapping[str, str]:
    """Return the environment, with the variables of `MLOPS_CONFIG` as they are now.

    Raises:
        SettingsError: what it names cannot be read, or holds a wrong value.
    """
    if not os.environ.keys().isdisjoint((CONFIG, CA_BUNDLE, APPLIED)):
        with _lock:
            _refresh()
    return os.environ


def configuration_names() -> frozenset[str]:
    """Return the names of the variables that have their value from `MLOPS_CONFIG`."""
    return frozenset(_applied(current_environment()))


def read_configuration(text: str) -> Configuration:
    """Read folders and files.

    Args:
        text: their paths, separated by `:`; the first one that has a variable wins.

    Raises:
        SettingsError: one is not there, cannot be read, or holds a wrong value.
    """
    values: dict[str, str] = {}
    sources: dict[str, Path] = {}
    ignored: list[str] = []
    for path in _paths(text):
        known = False
        for key, file, value in _entries(path):
            name = FILES.get(file.name) if key == file.name else None
            if name is None:
                name = key if _NAME.fullmatch(key) else VARIABLES.get(key)
            if name is None:
                # base64 ends with '=', too
                shown = key if value.strip("=") else _NO_NAME
                ignored.append(str(file) if key == file.name else f"{shown} in {file}")
                continue
            known = True
            if _REFUSED.fullmatch(name):
                raise SettingsError(
                    f"{file} holds {name}, which is not read from {CONFIG}: set it where the"
                    " process is started"
                )
            # one named like the variable wins over other names that mean the same
            if value and (name not in values or (key == name and sources[name].parent == path)):
                values[name] = _checked(name, key, value, file)
                sources[name] = file
        if not known:
            raise SettingsError(
                f"{CONFIG} names {path}, which has no setting: a Secret has keys such as"
                f" {', '.join(_EXAMPLES)}, a file has lines NAME=VALUE; correct it, or {CONFIG}"
            )
    for one, other in (*_PAIRS, *(pair[::-1] for pair in _PAIRS)):
        if one in values and other not in values and not os.environ.get(other):
            raise SettingsError(
                f"{CONFIG}={text}: {sources[one]} holds {one}, and nothing there holds {other}:"
                " add it to the Secret or file"
            )
    return Configuration(values, sources, tuple(ignored))


def _refresh() -> None:
    """Put the variables into the environment, unless nothing has changed since the last time."""
    global _seen
    text = os.environ.get(CONFIG, "")
    seen = (text, os.environ.get(APPLIED), *_state(text))
    if seen == _seen:
        return
    found = dict(read_configuration(text).values)
    # a Secret that was replaced meanwhile: a new key with an old password opens nothing
    while (now := tuple(_state(text))) != seen[2:]:
        seen = (*seen[:2], *now)
        found = dict(read_configuration(text).values)
    if authority := os.environ.get(CA_BUNDLE) or found.get(CA_BUNDLE):
        found = {**dict.fromkeys(_LIBRARIES_CA, authority), **found}
    applied = _applied(os.environ)
    for name in applied - found.keys():
        del os.environ[name]
    ours = {
        name: value for name, value in found.items() if name in applied or not os.environ.get(name)
    }
    for name, value in ours.items():
        # replaced only where it differs: native libraries may be reading it
        if os.environ.get(name) != value:
            os.environ[name] = value
    os.environ[APPLIED] = ",".join(f"{name}:{_digest(ours[name])}" for name in sorted(ours))
    _seen = (text, os.environ[APPLIED], *seen[2:])


def _applied(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the variables whose value is from `MLOPS_CONFIG`, also in a child process.

    One that was set to another value since is not among them.
    """
    recorded = (entry.partition(":") for entry in environment.get(APPLIED, "").split(",") if entry)
    return frozenset(
        name for name, _, digest in recorded if _digest(environment.get(name, "")) == digest
    )


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()[:16]


def _paths(text: str) -> list[Path]:
    return [Path(part) for part in text.split(":") if part]


def _state(text: str) -> Iterator[object]:
    """Yield what changes when the folders or files do: a mounted Secret is replaced as a whole."""
    for path in _paths(text):
        try:
            for file in _files(path):
                stat = file.stat()
                yield str(file), stat.st_ino, stat.st_mtime_ns, stat.st_size
        except OSError as error:
            yield str(path), error.errno


def _files(path: Path) -> Iterable[Path]:
    # Kubernetes keeps its own links in entries that begin with dots
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if not file.name.startswith("."))


def _entries(path: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield the keys of a folder or file, with their file and value."""
    try:
        if not path.is_dir():
            found: dict[str, str] = {}
            for line in parse_stream(StringIO(_text(path))):
                if line.error:
                    raise SettingsError(
                        f"{CONFIG}: line {line.original.line} of {path} cannot be read: write"
                        " NAME=VALUE, with both quotation marks or none"
                    )
                if line.key is not None:
                    found[line.key] = line.value or ""
            for key, value in found.items():
                yield key, path, value
            return
        for file in _files(path):
            if file.is_file():
                yield file.name, file, str(file) if file.name in FILES else _text(file)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{CONFIG} names {error.filename}, which is not there: mount the Secret there, or"
            f" correct {CONFIG}"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{CONFIG}: {error.filename} cannot be read: {error.strerror}; give the user of this"
            " process the right to read it"
        ) from None


def _text(file: Path) -> str:
    if not S_ISREG(file.stat().st_mode):
        raise SettingsError(f"{CONFIG}: {file} is a pipe or device, which is not read")
    with file.open("rb") as stream:
        content = stream.read(MAX_VALUE_BYTES + 1)
    if len(content) > MAX_VALUE_BYTES:
        raise SettingsError(f"{CONFIG}: {file} has more than {MAX_VALUE_BYTES:,} bytes")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingsError(
            f"{CONFIG}: {file} is not text in UTF-8; values in the manifest of a Secret are base64"
            " once, in 'stringData' not at all"
        ) from None


def _checked(name: str, key: str, value: str, file: Path) -> str:
    """Return the value of a variable; a message names the file, and never its content."""
    found = value if _MAY_HAVE_LINES.fullmatch(name) else value.strip()
    control = _CONTROL.search(found.replace("\n", "") if _MAY_HAVE_LINES.fullmatch(name) else found)
    if control or (name.startswith(("AWS_", "MLOPS_")) and not found.isprintable()):
        raise SettingsError(
            f"{CONFIG}: the value of {key} in {file} has a line break or a control character:"
            " write it in one line"
        )
    if key in ("bucket", "bucketname") and "://" not in found:
        return f"s3://{found}"
    return found
