"""The manifests of deploy/kubernetes as kustomize renders them, and the pods in them.

Belongs here: rendering, and finding one's way in what is rendered. Does not belong here: what is expected.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from claims_pipeline_tests.deploy.chart import KUBERNETES

OVERLAYS = ("lhdi", "lhdi-lean", "minikube", "minikube-lean")

Manifest = dict[str, Any]


@functools.cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """All manifests of an overlay. Skips the test where neither kubectl nor kustomize is."""
    command = _command()
    if command is None:
        pytest.skip("needs kubectl or kustomize")
    done = subprocess.run([*command, str(KUBERNETES / "overlays" / overlay)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def _command() -> list[str] | None:
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    return ["kustomize", "build"] if shutil.which("kustomize") else None


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    """The overlay's manifests of these kinds."""
    return [one for one in rendered(overlay) if one["kind"] in kinds]


def pods(overlay: str) -> Iterator[tuple[str, Manifest]]:
    """Name and pod template of everything that starts pods."""
    for one in rendered(overlay):
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template") if isinstance(spec, dict) else None
        if template:
            yield one["metadata"]["name"], template


def secrets_named(container: Manifest) -> set[str]:
    """The Secrets from which a container's environment is drawn."""
    return {one["secretRef"]["name"] for one in container.get("envFrom", []) if "secretRef" in one}


def faults_of_pod(pod: Manifest, containers: list[Manifest]) -> list[str]:
    """What the pod security standard "restricted", and we besides, forbid.

    Args:
        pod: its spec.
        containers: its containers.
    """
    context = pod.get("securityContext", {})
    broken = {
        "may run as root": context.get("runAsNonRoot") is not True,
        "has no seccomp profile": context.get("seccompProfile") != {"type": "RuntimeDefault"},
        "mounts the node's disk": any("hostPath" in one for one in pod.get("volumes", [])),
        "may fill the node's disk": any(
            not one["emptyDir"].get("sizeLimit") for one in pod.get("volumes", []) if "emptyDir" in one
        ),
    }
    return [fault for fault, is_so in broken.items() if is_so] + [
        fault for one in containers for fault in _faults_of_container(one)
    ]


def _faults_of_container(container: Manifest) -> list[str]:
    context, resources = container.get("securityContext", {}), container.get("resources", {})
    broken = {
        "may gain privileges": context.get("allowPrivilegeEscalation") is not False,
        "may write its root file system": context.get("readOnlyRootFilesystem") is not True,
        "keeps capabilities": context.get("capabilities") != {"drop": ["ALL"]},
        "has no limit of memory": "memory" not in resources.get("limits", {}),
        "does not say what it needs": not {"cpu", "memory"} <= resources.get("requests", {}).keys(),
    }
    return [fault for fault, is_so in broken.items() if is_so]
