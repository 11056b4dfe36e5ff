"""Make the secrets that `compose.yaml` names: `python make_secrets.py`; existing ones stay."""

from __future__ import annotations

import secrets
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"
BYTES = 32


def write_secrets(folder: Path) -> list[str]:
    """Write the secrets that are missing, each as a file of one line.

    Only its owner enters the folder. The files can be read by all, as those that a container
    mounts keep their mode and are read there by a user with another number.

    Args:
        folder: for them.

    Returns:
        The names of those that were written.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    names = ("postgres_password", "s3_access_key", "s3_secret_key", "delegation_key", "api_token")
    written = [name for name in names if _write(folder / name, secrets.token_hex(BYTES))]
    password = (folder / "postgres_password").read_text().strip()
    url = f"postgresql+psycopg://mlops:{password}@postgres:5432/mlops"
    return [*written, *(["registry"] if _write(folder / "registry", url) else [])]


def _write(file: Path, text: str) -> bool:
    if file.exists():
        return False
    file.write_text(text)
    file.chmod(0o444)
    return True


def main() -> None:
    """Make them beside compose.yaml."""
    for name in write_secrets(FOLDER):
        print(FOLDER / name)


if __name__ == "__main__":
    main()
