"""The manifests for Kubernetes: of the right shape, and as closed as the container of Compose."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
RESOURCES = [
    pytest.param(resource, id=f"{resource['kind']} {resource['metadata']['name']}")
    for path in sorted(FOLDER.iterdir())
    for resource in yaml.safe_load_all(path.read_text())
]


def pods():
    for parameter in RESOURCES:
        (resource,) = parameter.values
        spec = resource["spec"]
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield pytest.param(spec["template"]["spec"], id=parameter.id)


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_a_resource_has_the_shape_of_its_kind(resource, version):
    kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("pod", list(pods()))
def test_a_pod_is_closed_in(pod):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"/data", "/tmp"}


@pytest.mark.parametrize("pod", list(pods()))
def test_a_pod_uses_the_database_that_the_secret_names(pod):
    """Else the server would serve one database, and the job migrate another."""
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "meeting-server", "optional": True}}]


def test_one_process_serves_and_the_old_one_ends_first():
    deployment = next(p.values[0] for p in RESOURCES if p.values[0]["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_all_run_the_same_image():
    texts = [Path(path).read_text() for path in FOLDER.iterdir()]
    assert len(set(re.findall(r"image: (\S+)", "".join(texts)))) == 1
