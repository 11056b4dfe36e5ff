"""Messages about an S3 bucket: the objects that were added, changed or removed.

Only the forms of the messages; where they come from, and what is done about them, is not known
here. https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html (S3
itself, also within SNS) https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
(EventBridge)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from mlops_assets.errors import MlopsError

CHANGES = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:")
BRIDGED_CHANGES = ("Object Created", "Object Deleted")


class MalformedMessage(MlopsError):
    """A message that is not a bucket notification."""


@dataclass(frozen=True)
class ChangedObject:
    """An object that came, changed or went.

    `keys`: its key; an encoded one can be read in two ways.
    """

    bucket: str
    keys: frozenset[str]


def changed_objects(body: str) -> list[ChangedObject]:
    """Return the objects that a message tells of.

    None for a test event, or where only tags or rights changed.

    Raises:
        MalformedMessage: the body has none of the known forms.
    """
    try:
        document = json.loads(body)
        if document.get("Type") == "Notification":
            document = json.loads(document["Message"])  # within SNS
        if document.get("Event") == "s3:TestEvent":
            return []
        if document.get("source") == "aws.s3":
            return (
                [_object(document["detail"])] if document["detail-type"] in BRIDGED_CHANGES else []
            )
        records = [record for record in document["Records"] if _tells_of_change(record)]
        return [_object(record["s3"]) for record in records]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedMessage(f"is not a bucket notification: {body[:200]!r}") from error


def _tells_of_change(record: dict[str, Any]) -> bool:
    return str(record["eventName"]).removeprefix("s3:").startswith(CHANGES)


def _object(described: dict[str, Any]) -> ChangedObject:
    key = str(described["object"]["key"])
    # S3 encodes keys as forms do, EventBridge does not; both readings are right for most keys, and
    # one too many only starts a commit that finds nothing new
    return ChangedObject(str(described["bucket"]["name"]), frozenset((key, unquote_plus(key))))


def concerns(changed: ChangedObject, landing: str) -> bool:
    """Return whether an object is in a landing (its s3:// URL) and is not hidden."""
    from mlops_assets.datasets.sources.base import is_hidden

    parts = urlsplit(landing)
    prefix = f"{unquote(parts.path).strip('/')}/".lstrip("/")
    return changed.bucket == parts.netloc and any(
        key.startswith(prefix) and key != prefix and not is_hidden(key.removeprefix(prefix))
        for key in changed.keys
    )
