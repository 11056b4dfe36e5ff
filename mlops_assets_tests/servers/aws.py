"""Amazon SQS, and an S3 that takes any key, as fixtures: both by moto's server."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from mlops_assets_tests.servers.buckets import (
    KEY,
    SECRET,
    Bucket,
    BucketServer,
    s3_environment,
    set_environment,
)
from mlops_assets_tests.servers.processes import HOST, serving
from mlops_assets_tests.services import require_script

REGION = "us-east-1"
_numbers = itertools.count()


@dataclass(frozen=True)
class Queues:
    """An SQS service without queues.

    Attributes:
        endpoint: its URL, which `AWS_ENDPOINT_URL_SQS` has too.
        client: a boto3 client of it.
    """

    endpoint: str
    client: Any

    def new(self, **attributes: str) -> str:
        """Make a queue and return its URL."""
        made = self.client.create_queue(
            QueueName=f"landing-{next(_numbers)}", Attributes=attributes
        )
        return str(made["QueueUrl"])


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of moto's server."""
    command = [str(require_script("moto_server")), "--host", HOST, "--port"]
    with serving(
        lambda port: [*command, str(port)], tmp_path_factory.mktemp("moto") / "log"
    ) as port:
        yield f"http://{HOST}:{port}"


@pytest.fixture
def sqs(moto_server: str, no_cloud: pytest.MonkeyPatch) -> Iterator[Queues]:
    """An SQS service without queues; works beside the fixtures of S3, with the same credentials."""
    credentials = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
    region = {"aws_region": REGION, "aws_default_region": REGION}
    variables = {"aws_endpoint_url_sqs": moto_server, **region, **credentials}
    set_environment(no_cloud, {name.upper(): value for name, value in variables.items()})
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=30).close()
    client = boto3.client("sqs", endpoint_url=moto_server, region_name=REGION, **credentials)
    yield Queues(moto_server, client)
    client.close()


@pytest.fixture
def raw_s3(
    moto_server: str, no_cloud: pytest.MonkeyPatch
) -> Iterator[tuple[Bucket, Callable[[str, bytes], None]]]:
    """A new bucket, and a function that writes objects of names that obstore does not write."""
    set_environment(no_cloud, s3_environment(moto_server))
    client = boto3.client("s3", endpoint_url=moto_server, region_name=REGION)
    name = f"raw-{next(_numbers)}"
    client.create_bucket(Bucket=name)

    def put(key: str, content: bytes) -> None:
        client.put_object(Bucket=name, Key=key, Body=content)

    yield Bucket(f"s3://{name}", BucketServer(moto_server, s3_environment(moto_server))), put
    client.close()
