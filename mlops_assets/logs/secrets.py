"""Texts for logs without secrets.

`text.secret_urls` hides what is secret in URLs; here are credentials in other forms, and the values
of this process's own secret settings, wherever they appear.
"""

from __future__ import annotations

import re

from mlops_assets.settings import secret_values
from mlops_assets.text.secret_urls import HIDDEN, redacted

# shorter values are part of ordinary words
MIN_SECRET = 8
# what precedes it in a name makes no difference; what follows is bounded: others write long texts
# whose parts all begin a name, and each would be read to the end
_NAMES = (
    r"(?:password|passwd|secret|token|signature|credential|account_?key|api_?key"
    r"|access_?key|private_?key|delegation_?key|cookie)[\w.-]{0,64}+"
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL),
        HIDDEN,
    ),
    # RFC 9110, 11.6.2: scheme and credentials, in a header or in the repr of one
    (
        re.compile(
            r"(?i)(\b(?:proxy-)?authorization\b['\"]?\s*[:=,]\s*b?['\"]?)"
            r"(?:[A-Za-z][\w-]*\s+)?[^\s'\",;)\]}]+(?:,\s*\w+=[^\s'\",]+)*"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?=\S*[0-9=+/])[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    # RFC 7519: a JSON Web Token is three parts in base64url, the first of which is an object
    (re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),
    # tokens of the registry, see `identity.tokens`, of GitHub and of GitLab
    (re.compile(r"\b(mlops_[0-9a-f]{12})_[0-9a-f]{64}\b"), rf"\1_{HIDDEN}"),
    (re.compile(r"\b(gh[opsur]_|github_pat_|glpat-)[\w-]{16,}"), rf"\1{HIDDEN}"),
    # IAM's identifiers of access keys
    (re.compile(r"\b(A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}\b"), rf"\1{HIDDEN}"),
    # name=value and 'name': 'value'; a quoted value may have spaces
    (
        re.compile(
            rf"(?i)({_NAMES}['\"]?\s*[:=]\s*)(?:b?'[^'\n]*'|b?\"[^\"\n]*\"|[^\s'\",;&)\]}}]+)"
        ),
        rf"\1{HIDDEN}",
    ),
)


def without_secrets(text: str) -> str:
    """Return a text without secrets, each of which becomes `***`.

    Args:
        text: of a log record; it may have many lines, as a traceback has.
    """
    # the longest first, as one may be part of another
    for value in sorted(secret_values(), key=len, reverse=True):
        if len(value) >= MIN_SECRET:
            text = text.replace(value, HIDDEN)
    text = redacted(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
