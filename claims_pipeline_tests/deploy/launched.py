"""Launches runs as on Kubernetes, and hands out the Jobs that dagster-k8s asked for.

Real: the code server with the image's name as the chart sets it, the instance with the run launcher of our values, the
command that launches, the Kubernetes client over HTTP. Not real: the API server, which here writes down what is asked
for and says that it is made. Its answers are those of the API for one call, no more.

As a program it prints the Jobs as YAML: `python -m claims_pipeline_tests.deploy.launched minikube`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from claims_pipeline.orchestration.upkeep import AS_OWNER
from claims_pipeline_tests.deploy.chart import NAMESPACE, dagster_yaml, values_of

IMAGE = "claims-pipeline:of-this-test"
JOB = "replay_quarantine"
"""A job of the code location that needs no configuration."""

_BIN = Path(sys.executable).parent
_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
_START_SECONDS = 120


@contextmanager
def api_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its URL, and the Jobs that it was asked to make."""
    made: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path.partition("?")[0] == _JOBS
            if known:
                made.append(body)
            answer = body if known else {"kind": "Status", "status": "Failure", "code": 404}
            data = json.dumps(answer).encode()
            self.send_response(201 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def launched_jobs(folder: Path, place: str, tags: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Launch a run for each of the given sets of tags, with the values of a place.

    Args:
        folder: empty; DAGSTER_HOME and sockets are put there.
        place: `lhdi` or `minikube`.
        tags: of the runs, by a name for each.

    Returns:
        The Job that each run became.
    """
    with api_server() as (url, made):
        environment = _home(folder, place, url)
        with _code_server(folder, environment):
            jobs = {}
            for name, of_run in tags.items():
                before = len(made)
                which = ["-w", str(folder / "workspace.yaml"), "-j", JOB, "--tags", json.dumps(of_run)]
                done = subprocess.run(
                    [_BIN / "dagster", "job", "launch", *which],
                    env=environment,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    timeout=_START_SECONDS,
                )
                assert done.returncode == 0, done.stderr[-2000:]
                assert len(made) == before + 1, done.stderr[-2000:]
                jobs[name] = made[-1]
    return jobs


def _home(folder: Path, place: str, url: str) -> dict[str, str]:
    home = folder / "home"
    home.mkdir()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    launcher = dagster_yaml(values_of(place))["run_launcher"]
    # Outside of a cluster: where the API server is. All else is as the chart has it.
    launcher["config"] |= {"load_incluster_config": False, "kubeconfig_file": str(folder / "kubeconfig")}
    # No daemon here that would take runs from a queue.
    at_once = {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"}
    instance = {"run_launcher": launcher, "run_coordinator": at_once, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance))
    server = {"grpc_server": {"socket": str(folder / "grpc.sock"), "location_name": "claims-pipeline"}}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [server]}))
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CLAIMS_", "DAGSTER_", "AWS_"))}
    return {
        **clean,
        "DAGSTER_HOME": str(home),
        "CLAIMS_STATE_DIR": str(folder / "state"),
        "DAGSTER_CURRENT_IMAGE": IMAGE,
    }


@contextmanager
def _code_server(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    arguments = values_of(None)["dagster-user-deployments"]["deployments"][0]["dagsterApiGrpcArgs"]
    log = folder / "code-server.log"
    with log.open("w") as out:
        command = [_BIN / "dagster", "api", "grpc", "--socket", str(folder / "grpc.sock"), *arguments]
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=out, stderr=out)
    try:
        ends = time.monotonic() + _START_SECONDS
        while "Started Dagster code server" not in log.read_text():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < ends, "the code server did not start"
            time.sleep(0.2)
        yield
    finally:
        # Started by what ignores SIGINT, as shells do in the background, Dagster's handler of SIGTERM does so as well.
        process.kill()
        process.wait()


def main() -> None:
    """Print the Jobs of a run and of a run of upkeep."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = launched_jobs(Path(folder), sys.argv[1], {"load": {}, "upkeep": AS_OWNER})
    sys.stdout.write(yaml.safe_dump_all(jobs.values()))


if __name__ == "__main__":
    main()
