"""URLs for messages and logs: without passwords, keys and signatures."""

from __future__ import annotations

import re

HIDDEN = "***"
# all up to the last @, as people forget to encode passwords; digits and a slash are a port
_PASSWORD = re.compile(r":/{1,2}[^\s:@/?#]*:(?!\d+/)")
# a database has no path with an @ in it, so digits before a slash are not a port if an @ follows
_DATABASE = re.compile(
    r"(?i)\b(?:postgres|postgresql|mysql|mariadb|mssql|oracle)(?:\+\w+)?://[^\s:@/?#]*:"
)
_WORD = re.compile(r"\S+")
_SECRET = re.compile(
    r"(?i)([?&;][^\s=&;?]*(?:password|passwd|secret|token|signature|credential|accountkey"
    r"|api_?key|sig)=)[^\s&;#]+"
)


def redacted(text: str) -> str:
    """Return a URL, or a text with URLs in it, without its secrets.

    Passwords before the host, and values of query parameters that are named like secrets
    (`sslpassword`, `sig`, `X-Amz-Signature`, `token` …), become `***`. A user's name stays.
    """
    if "@" in text:
        text = _WORD.sub(_without_passwords, text)
    return _SECRET.sub(rf"\1{HIDDEN}", text)


def _without_passwords(word: re.Match[str]) -> str:
    """Return a word without passwords, in a time that is linear in its length."""
    text = word[0]
    for pattern in (_DATABASE, _PASSWORD):
        end = text.rfind("@")
        found = pattern.search(text, 0, end) if end >= 0 else None
        if found is not None:
            text = f"{text[: found.end()]}{HIDDEN}{text[end:]}"
    return text
