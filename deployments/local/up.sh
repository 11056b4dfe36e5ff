#!/usr/bin/env bash
# Dagster's UI and daemon on the workspace of this checkout: telemetry off, DAGSTER_HOME set, sensors running.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DAGSTER_HOME="$PWD/workspace/dagster" PATH="$PWD/.venv/bin:$PATH"
port="${PORT:-3000}"
mlops doctor || true # also makes the Dagster home, if it is missing
dagster sensor start --start-all --workspace workspace.yaml
echo "Dagster: http://127.0.0.1:$port (end with Ctrl-C)"
exec dagster dev --workspace workspace.yaml --host 127.0.0.1 --port "$port"
