"""Lines of JSON: what is in them, and what never is."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine

from mlops_assets.logs import JsonLines, add_log_fields, configure_logs, log_fields, logs_json
from mlops_assets.logs.secrets import without_secrets

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Log JSON; the value returns the objects that were logged, one of each line."""
    import sys

    root = logging.getLogger()
    before = root.handlers, root.level, sys.excepthook, threading.excepthook
    own = {
        name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate)
        for name in ("dagster", "dagit", "dagster-webserver", "uvicorn", "uvicorn.access")
    }
    # servers of other tests in this process leave their own settings
    access = logging.getLogger("uvicorn.access")
    level, disabled = access.level, access.disabled
    access.setLevel(logging.INFO)
    access.disabled = False
    stream = io.StringIO()
    configure_logs("json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    access.setLevel(level)
    access.disabled = disabled
    root.handlers, root.level, sys.excepthook, threading.excepthook = before
    for name, (handlers, propagate) in own.items():
        logging.getLogger(name).handlers = handlers
        logging.getLogger(name).propagate = propagate
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(None)
    logging.captureWarnings(False)


log = logging.getLogger("mlops_assets.tests")


def test_a_line_has_the_time_in_utc_and_what_its_context_names(lines: Lines) -> None:
    with log_fields(run="r1", model="crops", data_version=None):
        with log_fields(principal="ann"):
            log.info("epoch %d", 3)
        log.warning("slow")
    log.info("later")
    first, second, third = lines()
    assert first["time"].endswith("Z")
    assert (first["level"], first["logger"]) == ("INFO", "mlops_assets.tests")
    assert first["message"] == "epoch 3"
    assert (first["run"], first["model"], first["principal"]) == ("r1", "crops", "ann")
    assert "data_version" not in first
    assert "principal" not in second
    assert "run" not in third


def test_contexts_of_requests_do_not_mix(lines: Lines) -> None:
    def request(name: str) -> None:
        add_log_fields(principal=name)
        log.info("hello")

    for name in ("ann", "ben"):
        contextvars.copy_context().run(request, name)
    log.info("nobody")
    assert [line.get("principal") for line in lines()] == ["ann", "ben", None]


@pytest.mark.parametrize(
    "message",
    [
        'forged\n{"level": "CRITICAL", "message": "no"}',
        "\x1b[2J\x00\x07\x85\u2028\u2029\ud800",
        '"}, "level": "ERROR", {"',
        "%s %d",
    ],
)
def test_a_hostile_message_is_one_line_and_comes_back_as_it_was(message: str) -> None:
    # not logged: the text of records goes to other processes of the tests, as UTF-8
    record = logging.LogRecord("mlops_assets.tests", logging.INFO, "", 0, message, None, None)
    written = JsonLines().format(record)
    assert written.isascii() and written.isprintable()
    line = json.loads(written)
    assert line["message"] == message
    assert line["level"] == "INFO"


SECRET = "s3cr3t-Value/with+signs=="
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
TOKEN = "mlops_0123456789ab_" + "c" * 64


@pytest.mark.parametrize(
    ("message", "hidden", "kept"),
    [
        (f"cannot connect to postgresql+psycopg://ann:{SECRET}@db/x", SECRET, "ann:***@db/x"),
        (f"GET https://h/x?X-Amz-Signature={SECRET}&a=1", SECRET, "a=1"),
        (f"headers {{'Authorization': 'Bearer {JWT}', 'Accept': '*/*'}}", JWT, "Accept"),
        (f"Authorization: Basic {SECRET}", SECRET, "Authorization"),
        (f"authorization=b'Digest {SECRET}'", SECRET, "authorization"),
        (f"the token {JWT} has expired", JWT, "has expired"),
        (f"{TOKEN} was refused", "c" * 64, "mlops_0123456789ab"),
        ("AKIAIOSFODNN7EXAMPLE is unknown", "IOSFODNN7EXAMPLE", "is unknown"),
        (f"aws_secret_access_key={SECRET}", SECRET, "aws_secret_access_key"),
        (f"{{'secret_access_key': '{SECRET} and more'}}", "and more", "secret_access_key"),
        (f'{{"password": "{SECRET}"}}', SECRET, "password"),
        (f"MLOPS_API_TOKEN: {SECRET}", SECRET, "MLOPS_API_TOKEN"),
        (f"Cookie: session={SECRET}", SECRET, "Cookie"),
        (
            f"-----BEGIN EC PRIVATE KEY-----\nMHc{SECRET}\n-----END EC PRIVATE KEY-----\nend",
            "MHc",
            "end",
        ),
        (f"-----BEGIN PRIVATE KEY-----\nMHc{SECRET} cut", "MHc", "***"),
    ],
)
def test_a_secret_is_hidden_and_what_is_around_it_is_not(
    lines: Lines, message: str, hidden: str, kept: str
) -> None:
    log.error("%s", message)
    (line,) = lines()
    assert hidden not in line["message"]
    assert kept in line["message"]


@pytest.mark.parametrize(
    "message",
    [
        "s3://bucket/landing/token-7/image.tif has 3 bands",
        "postgresql+psycopg://ann@db:5432/mlops",
        "the authorization of ann is checked",
        "3 tokens were revoked; basic statistics: mean 0.5",
        "sha256 " + "a" * 64,
    ],
)
def test_what_is_no_secret_stays(lines: Lines, message: str) -> None:
    log.info("%s", message)
    assert lines()[0]["message"] == message


@pytest.mark.parametrize("part", ["token", "cookie.", "eyJ-", "bearer "])
def test_a_long_path_of_a_request_is_read_once(part: str) -> None:
    """Each part begins what may be a secret; read to the end from each it would take minutes."""
    text = part * 50_000
    assert without_secrets(text) == text


def test_values_of_secret_settings_are_hidden_wherever_they_are(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/a-file")
    log.info("body %s of /var/run/secrets/a-file", SECRET)
    assert lines()[0]["message"] == "body *** of /var/run/secrets/a-file"


def test_an_exception_is_one_field_without_the_password_of_its_database(lines: Lines) -> None:
    url = f"postgresql+psycopg://ann:{SECRET.replace('/', '')}@127.0.0.1:1/mlops"
    try:
        try:
            create_engine(url, connect_args={"connect_timeout": 1}).connect()
        except Exception as error:
            raise RuntimeError(f"no registry at {url}; sent Bearer {JWT}") from error
    except RuntimeError:
        log.exception("a run has failed")
    (line,) = lines()
    assert line["message"] == "a run has failed"
    assert (
        "RuntimeError: no registry at postgresql+psycopg://ann:***@127.0.0.1:1"
        in (line["exception"])
    )
    assert "The above exception was the direct cause" in line["exception"]
    assert "s3cr3t" not in json.dumps(line)
    assert JWT not in json.dumps(line)


def test_a_line_of_the_access_log_has_no_query(lines: Lines) -> None:
    arguments = ("10.0.0.1:5000", "GET", "/signed-in?code=abc123&state=x", "1.1", 303)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *arguments)
    (line,) = lines()
    assert line["message"] == "GET /signed-in 303"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/signed-in", 303)
    assert "abc123" not in json.dumps(line)


def test_arguments_that_do_not_fit_and_very_long_messages_are_still_lines(lines: Lines) -> None:
    # not logged: the handler of pytest fails on it
    record = logging.makeLogRecord({"msg": "%d bands", "args": ("three",)})
    assert "three" in json.loads(JsonLines().format(record))["message"]
    log.info("x" * 100_000)
    assert len(lines()[0]["message"]) == 32_768


def test_an_exception_that_ends_a_thread_is_a_line(lines: Lines) -> None:
    def fail() -> None:
        raise ValueError(f"password={SECRET}")

    thread = threading.Thread(target=fail, name="watcher")
    thread.start()
    thread.join()
    (line,) = lines()
    assert "watcher" in line["message"]
    assert "ValueError: password=***" in line["exception"]


def test_a_record_of_a_dagster_run_names_it(lines: Lines) -> None:
    record = logging.makeLogRecord(
        {"msg": "done", "dagster_meta": {"run_id": "d1", "step_key": "crops__record"}}
    )
    line = json.loads(JsonLines().format(record))
    assert (line["orchestration_run"], line["step"]) == ("d1", "crops__record")


def test_text_stays_as_it_is() -> None:
    before = logging.getLogger().handlers[:]
    configure_logs("text")
    assert logging.getLogger().handlers == before
    assert not logs_json()
