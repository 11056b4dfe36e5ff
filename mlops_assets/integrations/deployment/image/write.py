"""The folder of an image that serves one model version, without workspace or registry.

Nothing is built here.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import as_file, files
from pathlib import Path

from mlops_assets.integrations.deployment.image.version import (
    MODEL_FOLDER,
    ONNX,
    VERSION_FILE,
    ImageVersion,
)
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.names import kubernetes_name
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.text.templates import template

PACKAGE = "package"
RECORD = "item.json"
# distributions that the server imports; a test starts it with these and their requirements only
IMPORTED = (
    "PyYAML",
    "SQLAlchemy",
    "alembic",
    "anyio",
    "cryptography",
    "filelock",
    "h11",
    "httpx",
    "joserfc",
    "numpy",
    "obstore",
    "onnxruntime",
    "orjson",
    "prometheus-client",
    "pydantic",
    "python-dotenv",
    "rich",
    "starlette",
    "tenacity",
    "typing-extensions",
    "uvicorn",
)


def write_docker(
    source: ExportSource, specification: ServiceSpecification, folder: Path
) -> list[str]:
    """Write the folder of an image: Dockerfile, model, record, server and health check."""
    from mlops_assets.integrations.model_export.folder import relocated
    from mlops_assets.paths import model_folder

    row = source.row
    model = folder / MODEL_FOLDER
    source.copy_onnx(model / ONNX)
    known = ImageVersion.of(row, specification.alias, source.sha256)
    (model / VERSION_FILE).write_text(known.model_dump_json(indent=2) + "\n")
    key = f"{model_folder(row.model, row.version)}/{ONNX}"
    record = relocated(source, {key: f"./{ONNX}"})
    (model / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    pinned = "".join(f"{name}=={version}\n" for name, version in pinned_requirements().items())
    (folder / "requirements.txt").write_text(pinned)
    for package in ("mlops_assets", "resources"):
        with as_file(files(package)) as own:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(own, folder / PACKAGE / package, ignore=ignored)
    script = Path(__file__).with_name("healthcheck.py")
    shutil.copyfile(script, folder / script.name)
    text = template("mlops_assets.integrations.deployment.image", "Dockerfile.j2").render(
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        # names, versions and digests are of letters, digits, '_' and '-' only
        labels={
            "org.opencontainers.image.title": row.model,
            "org.opencontainers.image.version": row.version,
            "mlops.onnx_sha256": source.sha256,
            "mlops.data_version": f"{row.dataset}@{row.data_version}",
            "mlops.data_digest": row.data_digest,
        },
    )
    (folder / "Dockerfile").write_text(text)
    image = f"{kubernetes_name(specification.name)}:{row.version}"
    return [
        f"docker build --tag {image} {{current}}",
        f"docker run --name {kubernetes_name(specification.name)} --env MLOPS_API_TOKEN --publish"
        f" 127.0.0.1:8000:8000 {image}",
    ]


def pinned_requirements() -> dict[str, str]:
    """Return the distributions that the server needs, with the versions that are installed here."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = [canonicalize_name(name) for name in IMPORTED]
    # the list grows by what each of them requires
    for name in waiting:
        if name in found:
            continue
        try:
            own = distribution(name)
        except PackageNotFoundError:
            # for another Python or platform
            continue
        found[name] = own.version
        for text in own.requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(needed.name))
    return dict(sorted(found.items()))
