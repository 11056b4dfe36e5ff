"""A Kubernetes-shaped API on loopback, and a kubelet that runs Jobs as processes of this machine.

The API is kmock's; here is only what it lacks and dagster-k8s asks for: selectors of lists, the
state of new Jobs, and logs of pods.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from kmock import KubernetesEmulator, Request, ResourceInfo, Server, action
from typing_extensions import override

JOBS, PODS, EVENTS = "batch/v1/jobs", "v1/pods", "v1/events"
Manifest = dict[str, Any]
# the label of nodes with a GPU, and a type that no node has
GPU_TYPE, MISSING = "nvidia.com/gpu.product", "NVIDIA-H200"
NO_NODE = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
# of the image `code`
ENTRY_POINT = ("mlops",)


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@attrs.define(kw_only=True)
class Api(KubernetesEmulator):
    """The API, with what it keeps of each object."""

    kubelet: Any = None

    @override
    async def _handle(self, request: Request) -> Any:
        plural = request.resource.plural if request.resource is not None else None
        made = plural == "jobs" and request.action == action.CREATE
        if made:
            request.data["metadata"].update(creationTimestamp=now(), namespace=request.namespace)
            request.data["status"] = {"active": 1, "startTime": now()}
        response = await super()._handle(request)
        if made:
            self.kubelet.start(request.namespace, request.data)
        elif plural in ("jobs", "pods") and request.action == action.DELETE:
            self.kubelet.stop(request.name)
        return response

    @override
    async def _serve_list(self, request: Request) -> Any:
        listed: Any = await KubernetesEmulator._serve_list(self, request)
        labels = _selector(request.params.get("labelSelector", ""))
        fields = _selector(request.params.get("fieldSelector", ""))
        listed["items"] = [
            each
            for each in listed["items"]
            if labels.items() <= each["metadata"].get("labels", {}).items()
            and all(_at(each, path) == value for path, value in fields.items())
        ]
        return listed


def _selector(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if part)


def _at(manifest: Any, path: str) -> Any:
    for part in path.split("."):
        manifest = manifest.get(part, {})
    return manifest


@dataclass
class Pod:
    """A pod as it runs here."""

    name: str
    job: str
    namespace: str
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Cluster:
    """A namespace of a cluster.

    Attributes:
        folder: of the file systems of pods.
        objects: Secrets and ConfigMaps by kind and name: key → text.
    """

    folder: Path
    objects: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    api: Api = field(default_factory=Api)
    url: str = ""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def jobs(self, component: str) -> list[Manifest]:
        """The Jobs that arrived, of `run_worker` or `step_worker`, oldest first."""
        return [
            each.last.raw
            for (kind, _, _), each in list(self.api.objects.items())
            if kind.plural == "jobs"
            and each.last.raw["metadata"]["labels"]["app.kubernetes.io/component"] == component
        ]

    def kubeconfig(self) -> Path:
        """A file with which clients find the API."""
        path = self.folder / "kubeconfig"
        cluster = {"name": "here", "cluster": {"server": self.url}}
        context = {"name": "here", "context": {"cluster": "here", "user": "tester"}}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "contexts": [context],
            "users": [{"name": "tester", "user": {}}],
            "current-context": "here",
        }
        path.write_text(json.dumps(document))
        return path

    def start(self, namespace: str, job: Manifest) -> None:
        """Start the pod of a Job, unless no node has the GPU that it asks for."""
        template, of_job = job["spec"]["template"], str(job["metadata"]["name"])
        if template["spec"].get("nodeSelector", {}).get(GPU_TYPE) == MISSING:
            self._pend(f"{of_job}-x7k2p", of_job, namespace, template)
            return
        pod = self._run(f"{of_job}-x7k2p", of_job, namespace, template)
        labels = {**template["metadata"]["labels"], "job-name": of_job}
        metadata = {"name": pod.name, "namespace": namespace, "labels": labels}
        manifest = {
            "metadata": {**metadata, "creationTimestamp": now()},
            "spec": template["spec"],
            "status": _status("Running", {"running": {"startedAt": now()}}),
        }
        self.api.objects[PODS, namespace, pod.name] = manifest
        threading.Thread(target=self._watch, args=[pod], daemon=True).start()

    def _run(self, name: str, job: str, namespace: str, template: Manifest) -> Pod:
        """Run the container of a pod as a process."""
        (container,) = template["spec"]["containers"]
        root = self.folder / name
        root.mkdir()
        volumes = {each["name"]: each for each in template["spec"].get("volumes", [])}
        mounts = [
            self._mounted(root, volumes[mount["name"]], mount)
            for mount in container.get("volumeMounts", [])
        ]
        arguments = template.get("args") or container.get("args", [])
        command = [*(container.get("command") or ENTRY_POINT), *arguments]
        log = root / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [_below(root, argument, mounts) for argument in command],
                env=self._environment(container, root, mounts),
                cwd=root,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pods[name] = Pod(name, job, namespace, process, log)
        return self.pods[name]

    def _pend(self, name: str, job: str, namespace: str, template: Manifest) -> None:
        """Leave a pod pending, as the scheduler does for which no node is good enough."""
        labels = {**template["metadata"]["labels"], "job-name": job}
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        unscheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": NO_NODE,
        }
        self.api.objects[PODS, namespace, name] = {
            "metadata": {**metadata, "creationTimestamp": now()},
            "spec": template["spec"],
            "status": {"phase": "Pending", "conditions": [unscheduled]},
        }
        self.api.objects[EVENTS, namespace, f"{name}.1"] = {
            "metadata": {"name": f"{name}.1", "namespace": namespace},
            "involvedObject": {"kind": "Pod", "name": name, "namespace": namespace},
            "type": "Warning",
            "reason": "FailedScheduling",
            "message": NO_NODE,
            "lastTimestamp": now(),
        }

    def pass_deadline(self, job: Manifest) -> None:
        """End a Job whose pod is pending, and remove the pod: its deadline has passed."""
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
        pod = self.api.objects[PODS, namespace, f"{name}-x7k2p"]
        self.loop.call_soon_threadsafe(pod.delete)
        status = {"active": None, "failed": 1, "conditions": [failed]}
        self._change(JOBS, namespace, name, {"status": status})

    def deploy(self, manifest: Manifest, replaced: Mapping[str, str]) -> Pod:
        """Run the container of a Deployment, with some of the texts of its arguments replaced."""
        template = manifest["spec"]["template"]
        name = f"{manifest['metadata']['name']}-0"
        (container,) = template["spec"]["containers"]
        args = [replaced.get(each, each) for each in container.get("args", [])]
        return self._run(name, "", "eo", {**template, "args": args})

    def stop(self, name: str | None) -> None:
        """Ask the pod of a Job, or a pod, to end, as its deletion does."""
        for pod in list(self.pods.values()):
            if name in (pod.job, pod.name):
                pod.process.terminate()

    def lose(self, job: str) -> None:
        """Kill all processes of the pod of a Job at once, as a node that fails does."""
        (pod,) = [each for each in self.pods.values() if each.job == job]
        os.killpg(pod.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End what still runs."""
        for pod in self.pods.values():
            with suppress(ProcessLookupError):
                os.killpg(pod.process.pid, signal.SIGKILL)
            pod.process.wait()

    def _environment(self, container: Manifest, root: Path, mounts: list[str]) -> dict[str, str]:
        """Return the environment of an image, and what the pod adds to it."""
        programs = Path(sys.executable).parent
        checkout = Path(__file__).resolve().parents[2]
        found = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "PYTHONPATH": str(checkout),
            "HOME": str(root),
            "TMPDIR": str(root / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for source in container.get("envFrom", []):
            kind = "Secret" if "secretRef" in source else "ConfigMap"
            reference = source.get("secretRef") or source["configMapRef"]
            found |= self.objects[kind, reference["name"]]
        for each in container.get("env", []):
            if "valueFrom" in each:
                reference = each["valueFrom"]["secretKeyRef"]
                found[each["name"]] = self.objects["Secret", reference["name"]][reference["key"]]
            else:
                found[each["name"]] = _below(root, each.get("value") or "", mounts)
        return found

    def _mounted(self, root: Path, volume: Manifest, mount: Manifest) -> str:
        """Put a volume into a pod's file system, and return where."""
        place = root / mount["mountPath"].lstrip("/")
        content: Mapping[str, str] | None = None
        if "secret" in volume:
            content = self.objects["Secret", volume["secret"]["secretName"]]
        elif "configMap" in volume:
            content = self.objects["ConfigMap", volume["configMap"]["name"]]
        if mount.get("subPath"):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text((content or {})[mount["subPath"]])
        else:
            place.mkdir(parents=True, exist_ok=True)
            for key, text in (content or {}).items():
                (place / key).write_text(text)
        return str(mount["mountPath"])

    def _watch(self, pod: Pod) -> None:
        """Set the state of Job and pod once the process has ended."""
        code = pod.process.wait()
        # of a process that a signal has ended, as a shell gives it
        code = 128 - code if code < 0 else code
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        phase = "Succeeded" if code == 0 else "Failed"
        self._change(
            PODS, pod.namespace, pod.name, {"status": _status(phase, {"terminated": ended})}
        )
        counts: Manifest = {"active": None, "succeeded" if code == 0 else "failed": 1}
        if code:
            counts["conditions"] = [
                {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
            ]
        self._change(JOBS, pod.namespace, pod.job, {"status": counts})

    def _change(self, kind: str, namespace: str, name: str, patch: Manifest) -> None:
        def change() -> None:
            found = self.api.objects[kind, namespace, name]
            # it may have been deleted meanwhile
            if not found.deleted:
                found.patch(patch)

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(change)


def _status(phase: str, state: Manifest) -> Manifest:
    status = {
        "name": "dagster",
        "ready": phase == "Running",
        "restartCount": 0,
        "image": "",
        "imageID": "",
        "state": state,
    }
    return {"phase": phase, "containerStatuses": [status]}


def _below(root: Path, value: str, mounts: list[str]) -> str:
    """Return a value whose paths are those of a pod's file system on this machine."""
    option, equals, path = value.partition("=")
    if equals and option.startswith("--"):
        return f"{option}={_below(root, path, mounts)}"
    parts = value.split(":")
    if not all(any(part == m or part.startswith(f"{m}/") for m in mounts) for part in parts):
        return value
    return ":".join(f"{root}{part}" for part in parts)


@contextmanager
def cluster_in(folder: Path) -> Iterator[Cluster]:
    """Serve the API of a cluster from a thread.

    Args:
        folder: of the file systems of its pods.
    """
    cluster = Cluster(folder)
    cluster.api.kubelet = cluster
    for kind in (JOBS, PODS, EVENTS):
        cluster.api.resources[kind] = ResourceInfo()
    ready, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with cluster.api, Server(cluster.api) as server:
            cluster.url = str(server.url).rstrip("/")
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=cluster.loop.run_until_complete, args=[serve()])
    thread.start()
    assert ready.wait(30)
    try:
        yield cluster
    finally:
        cluster.end()
        cluster.loop.call_soon_threadsafe(ended.set)
        thread.join()
        cluster.loop.close()
