"""What manifests name is there in the product: commands, options, settings, paths of probes."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from dagster._cli import cli as dagster
from dagster._daemon.cli import cli as daemon
from dagster_webserver.cli import dagster_webserver

from mlops_assets.cli import app
from mlops_assets_tests.deployments.kubernetes.chart import (
    ROOT,
    VALUES,
    containers,
    pods,
    rendered,
)
from mlops_assets_tests.deployments.kubernetes.dagster_jobs import (
    instance_ref,
    launcher_of,
    run_job,
    step_job,
)

COMMANDS: dict[str, Any] = {
    "mlops": typer.main.get_command(app),
    "dagster": dagster,
    "dagster-daemon": daemon,
    "dagster-webserver": dagster_webserver,
}
PROBED = {
    "fields-hub": "mlops_assets/hub",
    "fields-serving-crops": "mlops_assets/serving",
    "fields-serving-svm": "mlops_assets/serving",
}
every_deployment = pytest.mark.parametrize("values", VALUES.values(), ids=list(VALUES))


def parse(command: Sequence[str]) -> None:
    """Parse a command as its program does, without running it; wrong usage raises."""
    name, *rest = command
    found, context = COMMANDS[name], None
    while True:
        context = found.make_context(name, list(rest), parent=context)
        if not hasattr(found, "resolve_command"):
            return
        rest = [*context._protected_args, *context.args]
        name, found, rest = found.resolve_command(context, rest)


@every_deployment
def test_commands_are_those_of_the_product(values: dict[str, Any], tmp_path: Path) -> None:
    workspace = tmp_path / "workspace.yaml"
    workspace.touch()
    for _name, pod in pods(rendered(values)):
        for each in containers(pod):
            # the images' entry point
            command = [*each.get("command", ["mlops"]), *each.get("args", [])]
            parse(
                [
                    text.replace("/etc/mlops-dagster/workspace.yaml", str(workspace))
                    for text in command
                ]
            )
            for probe in ("startupProbe", "livenessProbe"):
                if "exec" in each.get(probe, {}):
                    parse(each[probe]["exec"]["command"])


def test_pods_of_runs_and_steps_start_what_dagster_gives_as_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = launcher_of(instance_ref(rendered({}), tmp_path, monkeypatch), monkeypatch)
    for job in (run_job(launcher), step_job(launcher, {})):
        (container,) = containers(job["spec"]["template"])
        # else the arguments would be those of the images' entry point
        assert container["command"] == ["/usr/bin/env"]
        parse(container["args"])


@pytest.mark.parametrize(
    "command",
    [["mlops", "hub", "--no-such"], ["mlops", "hubb"], ["dagster", "api", "grpc", "--x"]],
    ids=" ".join,
)
def test_a_command_that_is_not_there_would_be_seen(command: list[str]) -> None:
    with pytest.raises(Exception, match=r"No such (option|command)"):
        parse(command)


def names_of_settings() -> set[str]:
    """Return the names of variables in the package of settings."""
    found = set()
    for path in (ROOT / "mlops_assets" / "settings").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"\bMLOPS_[A-Z_]+\b", node.value))
    return found


@every_deployment
def test_variables_are_settings_of_the_product(values: dict[str, Any]) -> None:
    known = names_of_settings()
    assert {"MLOPS_WORKSPACE", "MLOPS_REGISTRY", "MLOPS_DELEGATION_KEY"} <= known
    for name, pod in pods(rendered(values)):
        for each in containers(pod):
            variables = {env["name"] for env in each["env"] if env["name"].startswith("MLOPS_")}
            assert variables <= known, name


@every_deployment
def test_files_and_folders_that_variables_name_are_mounted(values: dict[str, Any]) -> None:
    for name, pod in pods(rendered(values)):
        for each in containers(pod):
            mounted = {mount["mountPath"] for mount in each["volumeMounts"]}
            for env in each["env"]:
                value = str(env.get("value", ""))
                for path in value.split(":") if value.startswith("/") else ():
                    assert {path, *map(str, Path(path).parents)} & mounted, (name, env)


def test_commands_work_on_the_project_that_the_code_server_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered({"project": {"module": "fieldwork.definitions"}})
    (code,) = containers(found.named("Deployment", "fields-code")["spec"]["template"])
    assert "--module-name=fieldwork.definitions" in code["args"]
    launcher = launcher_of(instance_ref(found, tmp_path, monkeypatch), monkeypatch)
    (run,) = containers(run_job(launcher)["spec"]["template"])
    for each in (code, run):
        assert {"name": "MLOPS_MODULE", "value": "fieldwork.definitions"} in each["env"]


def test_probes_ask_for_what_is_served_without_a_token() -> None:
    found = rendered(VALUES["two services"])
    for name, package in PROBED.items():
        (container,) = found.named("Deployment", name)["spec"]["template"]["spec"]["containers"]
        text = "".join(path.read_text() for path in (ROOT / package).rglob("*.py"))
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert f'"{container[probe]["httpGet"]["path"]}"' in text, name


def test_people_get_pages_where_they_can_sign_in_and_only_there() -> None:
    for values, pages in ((VALUES["datalab"], True), ({}, False)):
        hub = rendered(values).named("Deployment", "fields-hub")
        (container,) = hub["spec"]["template"]["spec"]["containers"]
        assert ("--no-pages" not in container["args"]) is pages
