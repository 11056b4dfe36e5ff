"""The health check of an image, and of any server of ours, with the standard library only.

`python healthcheck.py [URL]` exits with 0 if the server is ready and, where the token
`MLOPS_API_TOKEN` may read it, serves the file of `model/version.json` beside this script.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_SECONDS = 5.0
MAX_BODY = 1 << 20


def problem_of(url: str, version: Path, token: str | None) -> str | None:
    """Return why a server is not healthy; None if it is.

    Args:
        url: of the server.
        version: the document of the model version that it is to serve.
        token: that may read what is served; None where none is needed.
    """
    if not url.startswith(("http://", "https://")):
        return f"{url} is not the URL of a server"
    known = json.loads(version.read_text())
    model = urllib.parse.quote(known["model"], safe="")
    try:
        _get(f"{url}/v2/health/ready", None)
        served = _get(f"{url}/v2/models/{model}", token)
    except urllib.error.HTTPError as error:
        return f"{error.url} answers {error.code}"
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {error}"
    properties = served.get("properties") if isinstance(served, dict) else None
    found = properties.get("sha256") if isinstance(properties, dict) else None
    if found != known["sha256"]:
        return f"{url} serves sha256 {found}, not {known['sha256']}"
    return None


def _get(url: str, token: str | None) -> object:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # of the scheme http or https, which is checked before
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # nosec
        return json.loads(answer.read(MAX_BODY))


def main() -> None:
    """Check the server of a URL, else that of this machine."""
    url = sys.argv[1].rstrip("/") if len(sys.argv) > 1 else DEFAULT_URL
    version = Path(__file__).resolve().parent / "model" / "version.json"
    problem = problem_of(url, version, os.environ.get("MLOPS_API_TOKEN") or None)
    if problem:
        sys.exit(problem)
    print(f"{url} is healthy")


if __name__ == "__main__":
    main()
