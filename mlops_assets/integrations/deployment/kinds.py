"""Names of the checks of deployments, and the engines that have them; light to import."""

from __future__ import annotations

from mlops_assets.serving.specification import Engine

SERVED = "served"
FILES = "files_intact"
# engines whose server answers at the declared URL
WITH_SERVER: tuple[Engine, ...] = ("embedded", "docker")
WITH_FILES: tuple[Engine, ...] = ("kserve", "triton", "docker", "seldon")
