"""Messages about an S3 bucket: the objects that were added, changed or removed.

Only the forms of the messages; their queue and their consequences are elsewhere.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html (S3
itself, also within SNS) https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
(EventBridge)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus, urlsplit

from pydantic import BaseModel, Field

from mlops_assets.errors import MlopsError
from mlops_assets.text.json_values import JsonObject

CHANGES = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:")
BRIDGED_CHANGES = ("Object Created", "Object Deleted")


class _Bucket(BaseModel):
    name: str = Field(coerce_numbers_to_str=True)


class _Object(BaseModel):
    key: str = Field(coerce_numbers_to_str=True)


class _ObjectPlace(BaseModel):
    """The part of a message that locates an object, the same in all its forms."""

    bucket: _Bucket
    object: _Object


class MalformedMessage(MlopsError):
    """A message that is not a bucket notification."""


@dataclass(frozen=True)
class ChangedObject:
    """An object that was added, changed or removed.

    `keys`: its key; an encoded one can be read in two ways.
    """

    bucket: str
    keys: frozenset[str]


def changed_objects(body: str) -> list[ChangedObject]:
    """Return the objects that a message reports.

    None for a test event, or where only tags or rights changed.

    Raises:
        MalformedMessage: the body has none of the known forms.
    """
    try:
        document = json.loads(body)
        if document.get("Type") == "Notification":
            # within SNS
            document = json.loads(document["Message"])
        if document.get("Event") == "s3:TestEvent":
            return []
        if document.get("source") == "aws.s3":
            return (
                [_object(document["detail"])] if document["detail-type"] in BRIDGED_CHANGES else []
            )
        records = [record for record in document["Records"] if _is_change(record)]
        return [_object(record["s3"]) for record in records]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedMessage(f"is not a bucket notification: {body[:200]!r}") from error


def _is_change(record: JsonObject) -> bool:
    return str(record["eventName"]).removeprefix("s3:").startswith(CHANGES)


def _object(described: object) -> ChangedObject:
    place = _ObjectPlace.model_validate(described)
    key = place.object.key
    # S3 encodes keys as forms do, EventBridge does not; both readings are right for most keys, and
    # one too many only starts a commit that finds nothing new
    return ChangedObject(place.bucket.name, frozenset((key, unquote_plus(key))))


def concerns(changed: ChangedObject, landing: str) -> bool:
    """Return whether an object is in a landing (its s3:// URL) and is not hidden."""
    from mlops_assets.datasets.sources.base import is_hidden

    parts = urlsplit(landing)
    prefix = f"{unquote(parts.path).strip('/')}/".lstrip("/")
    return changed.bucket == parts.netloc and any(
        key.startswith(prefix) and key != prefix and not is_hidden(key.removeprefix(prefix))
        for key in changed.keys
    )
