"""Helm in a process of its own: its library is a Go program, which is not to be forked by tests.

Reads `{chart, values}` as JSON from stdin, and prints what the chart renders with each of the
values, or why it does not.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from helm_python import Chart, HelmError, lint

KUBERNETES = "v1.31.0"


def main() -> None:
    asked = json.load(sys.stdin)
    path = asked["chart"]
    with Chart.load(path) as chart:
        print(json.dumps([answer(chart, path, values) for values in asked["values"]]))


def answer(chart: Chart, path: str, values: dict[str, Any]) -> dict[str, Any]:
    try:
        files = chart.render(values, name="fields", namespace="eo")
        report = lint(path, values, strict=True, namespace="eo", kube_version=KUBERNETES)
    except HelmError as error:
        return {"error": str(error)}
    return {"files": files, "lint": report}


if __name__ == "__main__":
    main()
