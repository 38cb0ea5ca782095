"""What stands in deploy/: scripts that a shell can read, documents that are what they say, options that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from reparam.cli import app

DEPLOY = Path(__file__).parents[2] / "deploy"
KNOWN = {
    option
    for parameter in typer.main.get_command(app).commands["train"].params
    for option in (*parameter.opts, *parameter.secondary_opts)
}
ENVIRONMENT = {
    parameter.envvar for parameter in typer.main.get_command(app).commands["train"].params if parameter.envvar
}


def options(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--")}


def test_the_slurm_script_is_one_and_its_options_are_ours():
    script = DEPLOY / "train.slurm"
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text().splitlines()
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert lines[0] == "#!/bin/bash"
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", line) for line in directives)
    [command] = [line for line in lines if line.startswith("srun ")]
    assert options(shlex.split(command.partition("reparam train")[2])) <= KNOWN


def test_the_slurm_script_says_what_it_needs():
    told = subprocess.run(["bash", DEPLOY / "train.slurm"], capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "usage: sbatch train.slurm DATA RUN" in told.stderr


def test_the_pods_are_an_indexed_job_that_finds_its_first():
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all((DEPLOY / "train.kubernetes.yaml").read_text())
    assert (service["apiVersion"], service["kind"], service["spec"]["clusterIP"]) == ("v1", "Service", "None")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"]
    assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    [container] = pod["containers"]
    environment = {variable["name"]: variable for variable in container["env"]}
    assert set(environment) <= ENVIRONMENT
    host, port = environment["REPARAM_COORDINATOR"]["value"].split(":")
    assert host == f"{job['metadata']['name']}-0.{pod['subdomain']}"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert int(port) == container["ports"][0]["containerPort"]
    assert int(environment["REPARAM_PROCESSES"]["value"]) == spec["completions"]
    index = environment["REPARAM_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert pod["restartPolicy"] == "OnFailure"  # with which Kubernetes refuses a limit for each index
    assert "backoffLimitPerIndex" not in spec
    assert options(container["args"]) <= KNOWN
    assert "--resume-if-there" in container["args"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_image_copies_what_is_there_and_is_not_run_by_root():
    instructions = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    words = [line.split() for line in instructions if line.strip() and not line.startswith("#")]
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT"}
    assert {line[0] for line in words} <= known
    assert words[0][0] == "FROM"
    for copy in (line[1:-1] for line in words if line[0] == "COPY"):
        assert all((DEPLOY.parent / name).exists() for name in copy)
    assert [line[1] for line in words if line[0] == "USER"] == ["reparam"]
    assert 'ENTRYPOINT ["reparam"]' in instructions
