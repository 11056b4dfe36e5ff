"""stac-fastapi-pgstac on PostGIS as the peer, tuned as pgstac's documents say.

PostgreSQL gets the memory of its settings page, the properties that are filtered and sorted by get
indexes as queryables, Items are partitioned by year, and statistics are brought up to date.
Collections' extents are not updated, and Items are not counted, which are its defaults. It needs
the Debian packages `postgresql-15` and `postgresql-15-postgis-3`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peer_environments import install_peer
from benchmarks.processes import clean_environment, server

_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_SETTINGS = {
    "shared_buffers": "1GB",
    "effective_cache_size": "3GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
    "max_locks_per_transaction": "128",
    "listen_addresses": "127.0.0.1",
}
_TUNED = """
SET search_path TO pgstac, public;
INSERT INTO pgstac.queryables (name, property_wrapper, property_index_type)
VALUES ('mlm:framework', 'to_text', 'BTREE'), ('eo:cloud_cover', 'to_float', 'BTREE')
ON CONFLICT DO NOTHING;
UPDATE pgstac.queryables SET property_index_type = 'BTREE', property_wrapper = 'to_float'
WHERE name = 'eo:cloud_cover';
SELECT pgstac.maintain_partitions();
ANALYZE;
"""


@dataclass(frozen=True)
class Pgstac:
    """A running peer.

    Attributes:
        url: of its STAC API.
        load_seconds: time that `pypgstac load` took, without its start.
        processes: ids of its server and of PostgreSQL, whose children count with them.
    """

    url: str
    load_seconds: float
    processes: tuple[int, ...]


def is_installed() -> bool:
    """Return whether PostgreSQL with PostGIS is here."""
    return Path("/usr/share/postgresql/15/extension/postgis.control").exists()


@contextmanager
def pgstac(
    folder: Path, collection: dict[str, Any], items: Iterable[dict[str, Any]]
) -> Iterator[Pgstac]:
    """Run the peer with a Collection and its Items.

    Args:
        folder: receives files and logs.
        collection: the Collection.
        items: its Items.
    """
    programs = install_peer("pgstac")
    files = {"collections": folder / "collections.ndjson", "items": folder / "items.ndjson"}
    for name, documents in (("collections", [collection]), ("items", items)):
        with files[name].open("w") as written:
            written.writelines(f"{json.dumps(document)}\n" for document in documents)
    with _database(folder, programs) as (environment, process):
        loaded = {}
        for name, file in files.items():
            before = os.times()
            load = [str(programs / "pypgstac"), "load", name, str(file), "--method", "insert"]
            _run(load, environment)
            loaded[name] = os.times().elapsed - before.elapsed
            if name == "collections":
                trunc = "UPDATE pgstac.collections SET partition_trunc = 'year'"
                _run([str(_PROGRAMS / "psql"), "-c", trunc], environment)
        _run([str(_PROGRAMS / "psql"), "-v", "ON_ERROR_STOP=1", "-c", _TUNED], environment)
        with _api(folder, programs, environment) as url:
            # what a load of one Collection takes is the start of the program
            seconds = loaded["items"] - loaded["collections"]
            yield Pgstac(url, seconds, (process,))


@contextmanager
def writable_pgstac(folder: Path, programs: Path) -> Iterator[Pgstac]:
    """Run the peer without records, for whoever sends some.

    Args:
        folder: receives logs.
        programs: of its environment, as `install_peer` returns them.
    """
    with _database(folder, programs) as (environment, process):
        transactions = {**environment, "ENABLE_TRANSACTIONS_EXTENSIONS": "TRUE"}
        with _api(folder, programs, transactions) as url:
            yield Pgstac(url, 0.0, (process,))


@contextmanager
def _database(folder: Path, programs: Path) -> Iterator[tuple[dict[str, str], int]]:
    """Run an empty database of pgstac; yield the environment of its clients and its process."""
    with _postgresql(folder) as (port, process):
        environment = clean_environment(
            PGHOST="127.0.0.1",
            PGPORT=str(port),
            PGUSER="postgres",
            PGDATABASE="postgis",
            PGPASSWORD="none",
        )
        _run([str(_PROGRAMS / "createdb"), "postgis"], environment)
        _run([str(programs / "pypgstac"), "migrate"], environment)
        yield environment, process


@contextmanager
def _api(folder: Path, programs: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the STAC API of a database; yield its URL."""
    serve = [str(programs / "uvicorn"), "--factory", "stac_fastapi.pgstac.app:create_app"]
    with server(
        lambda host, own: [*serve, "--host", host, "--port", str(own), "--no-access-log"],
        folder / "pgstac.log",
        environment,
    ) as address:
        yield f"http://{address}"


@contextmanager
def _postgresql(folder: Path) -> Iterator[tuple[int, int]]:
    """Run a PostgreSQL of our own; yield its port and its process."""
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    prefix: Sequence[str] = user if os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory(prefix="mlops-pgstac-", ignore_cleanup_errors=True) as data:
        if prefix:
            shutil.chown(data, "postgres", "postgres")
        _run(
            [
                *prefix,
                str(_PROGRAMS / "initdb"),
                "-D",
                f"{data}/db",
                "-U",
                "postgres",
                "-A",
                "trust",
            ],
            clean_environment(),
        )
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        ports: list[int] = []

        def command(_host: str, port: int) -> list[str]:
            ports.append(port)
            postgres = [str(_PROGRAMS / "postgres"), "-D", f"{data}/db", "-p", str(port)]
            return [*prefix, *postgres, "-k", data, *settings]

        with server(command, folder / "postgresql.log"):
            ready = [str(_PROGRAMS / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(ports[0])]
            while subprocess.run(ready, check=False).returncode:  # it listens before it is
                time.sleep(0.05)
            pid = int(Path(data, "db", "postmaster.pid").read_text().splitlines()[0])
            yield ports[0], pid


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")
