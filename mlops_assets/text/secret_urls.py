"""URLs for messages and logs: without passwords, keys and signatures."""

from __future__ import annotations

import re

HIDDEN = "***"
# all up to the last @, as people forget to encode passwords; digits and a slash are a port
_PASSWORD = re.compile(r"(:/{1,2}[^\s:@/?#]*):(?!\d+/)\S*@")
# a database has no path with an @ in it, so digits before a slash are not a port if an @ follows
_DATABASE = re.compile(
    r"(?i)\b((?:postgres|postgresql|mysql|mariadb|mssql|oracle)(?:\+\w+)?://[^\s:@/?#]*):\S*@"
)
_SECRET = re.compile(
    r"(?i)([?&;][^\s=&;]*(?:password|passwd|secret|token|signature|credential|accountkey"
    r"|api_?key|sig)=)[^\s&;#]+"
)


def redacted(text: str) -> str:
    """Return a URL, or a text with URLs in it, without its secrets.

    Passwords before the host, and values of query parameters that are named like secrets
    (`sslpassword`, `sig`, `X-Amz-Signature`, `token` …), become `***`. A user's name stays.
    """
    return _SECRET.sub(
        rf"\1{HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", _DATABASE.sub(rf"\1:{HIDDEN}@", text))
    )
