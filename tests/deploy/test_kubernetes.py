"""The DaemonSet has only fields that Kubernetes knows, and runs commands that there are."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import click
import pytest

from tests.helpers.repository import ROOT
from untorn.cli import main

FILE = ROOT / "deploy/kubernetes/daemonset.yaml"


def kubectl(*arguments: str) -> Any:
    """What it makes of the file, without a cluster."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    command = ["kubectl", *arguments, "--local", "-f", str(FILE), "-o", "json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def paths(value: Any, above: str = "") -> Iterator[str]:
    """Where there is something in a document."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from paths(each, f"{above}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from paths(each, f"{above}[{index}]")
    else:
        yield above


def test_it_has_no_field_that_kubernetes_does_not_know() -> None:
    written = set(paths(kubectl("annotate", "a=b")))  # of the text as it stands
    known = set(paths(kubectl("set", "env", "A=b")))  # of a DaemonSet with the fields that it has
    assert written - known == {".metadata.annotations.a"}


def test_it_runs_commands_that_there_are() -> None:
    containers = kubectl("annotate", "a=b")["spec"]["template"]["spec"]["containers"]
    for name, *arguments in (each["args"] for each in containers):
        command = main.get_command(click.Context(main), name)
        assert command
        command.make_context(name, arguments)


def test_mounts_get_from_one_container_to_the_host() -> None:
    mount, _ = kubectl("annotate", "a=b")["spec"]["template"]["spec"]["containers"]
    propagation = {each["name"]: each.get("mountPropagation") for each in mount["volumeMounts"]}
    assert propagation["untorn"] == "Bidirectional"
    assert mount["securityContext"]["privileged"]
