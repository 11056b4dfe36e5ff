"""Reasons why a TLS connection to an object store fails, from the debug dump of obstore's errors.

The names of certificate errors are those of rustls, `rustls::CertificateError`.
"""

from __future__ import annotations

import re

_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)")
_OWN_AUTHORITY = "set MLOPS_CA_BUNDLE to the PEM file of the authority that has issued it"
# beginning of the name → advice, where another authority would not help
_ADVICE = {
    # what `openssl req -x509` makes by itself
    "CaUsedAsEndEntity": (
        "it is an authority's own: have it issue one for the server, or make a self-signed one with"
        " basicConstraints=CA:FALSE, and set MLOPS_CA_BUNDLE to its PEM file"
    ),
    "Expired": "renew it at the server, and check the clock of this machine",
    "NotValidForName": "use the name of the server that is in it, or have that name put into it",
    "NotValidYet": "check the clock of this machine and that of the server",
}
_NO_TLS = re.compile(r"InvalidMessage\(\s*InvalidContentType")
# as servers in Go, nginx and Apache answer
_TLS_WANTED = re.compile(
    r"sent an HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port"
    r"|speaking plain HTTP to an SSL-enabled server port"
)


def why_no_connection(text: str) -> tuple[str, str] | None:
    """Return the reason of a failed TLS connection, and what to do; None for any other error.

    Args:
        text: of the error, with its debug dump.
    """
    if refused := _CERTIFICATE.search(text):
        name = refused[1]
        advice = next((a for kind, a in _ADVICE.items() if name.startswith(kind)), _OWN_AUTHORITY)
        return f"the certificate of the server is not trusted ({name})", advice
    if _NO_TLS.search(text):
        return (
            "the server answers without TLS",
            "turn TLS on there, or write http:// in the address of the server",
        )
    if _TLS_WANTED.search(text):
        return "the server wants TLS", "write https:// in the address of the server"
    return None
