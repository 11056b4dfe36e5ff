"""The comment of an earlier report, among JSON documents of a platform on stdin.

GitLab has lists of notes, and its number is printed; Azure Repos has threads with comments, and the
numbers of both are printed. Nothing is printed if there is none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

MARK = "<!-- mlops-ci-report -->"


def documents(text: str) -> Iterator[object]:
    """Yield JSON documents that follow each other, as pages do."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()


def found(text: str) -> str:
    """Return the numbers of the first comment that begins with the mark; empty if there is none."""
    for document in documents(text):
        if isinstance(document, list):
            for note in document:
                if str(note.get("body", "")).startswith(MARK):
                    return str(note["id"])
        elif isinstance(document, dict):
            for thread in document.get("value", []):
                for comment in thread.get("comments") or []:
                    if str(comment.get("content", "")).startswith(MARK):
                        return f"{thread['id']} {comment['id']}"
    return ""


if __name__ == "__main__":
    print(found(sys.stdin.read()))
