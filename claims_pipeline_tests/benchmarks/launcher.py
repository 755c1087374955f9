"""A Dagster at work for the start-up benchmark: the webserver, a code server for each location, a process for each run.

Belongs here: sensor ticks and runs through Dagster's GraphQL API, which takes them the daemon's way, without the
daemon's waiting between two rounds. Does not belong here: what is measured (startup.py).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INSTANCE = """
storage: {{sqlite: {{base_dir: {folder}}}}}
run_coordinator: {{module: dagster.core.run_coordinator, class: DefaultRunCoordinator}}
telemetry: {{enabled: false}}
nux: {{enabled: false}}
"""
# Without a queue: a run begins when it is asked for, and not when the daemon's next round takes it from the queue.

_TICK = """
mutation ($sensor: SensorSelector!) { sensorDryRun(selectorData: $sensor, cursor: null) { __typename
  ... on PythonError { message }
  ... on DryRunInstigationTick { evaluationResult {
    error { message } skipReason runRequests { jobName tags { key value } assetSelection { path } } } } } }
"""
_LAUNCH = """
mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on PythonError { message } ... on LaunchRunSuccess { run { runId } } } }
"""
_STATUS = """
query ($id: ID!) { runOrError(runId: $id) { ... on Run { status creationTime startTime endTime } } }
"""
_LOADED = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  __typename ... on PythonError { message } } } } } }
"""

Request = Mapping[str, Any]
"""A run request as GraphQL tells it."""


@dataclass(frozen=True)
class RunTimes:
    """When a run was asked for, when its process had loaded the code location, when it ended; Unix seconds."""

    created: float
    started: float
    ended: float


@dataclass(frozen=True)
class Launcher:
    """A webserver that has loaded code locations."""

    url: str
    process: subprocess.Popen[bytes]

    def tick(self, location: str, sensor: str) -> list[Request]:
        """Evaluate a sensor in its code server; the runs that it asks for.

        Raises:
            RuntimeError: the sensor failed.
        """
        named = {"repositoryLocationName": location, "repositoryName": "__repository__", "sensorName": sensor}
        found = self._ask(_TICK, {"sensor": named})["sensorDryRun"]
        result = found.get("evaluationResult")
        if result is None or result["error"]:
            raise RuntimeError(f"the tick of {sensor} failed: {found}")
        return list(result["runRequests"] or ())

    def launch(self, location: str, assets: list[list[str]], tags: Mapping[str, str]) -> str:
        """Start a run in a process of its own; its id.

        Raises:
            RuntimeError: it was refused.
        """
        params = {
            "selector": {
                "repositoryLocationName": location,
                "repositoryName": "__repository__",
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": path} for path in assets],
            },
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        found = self._ask(_LAUNCH, {"params": params})["launchRun"]
        if found["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(f"the run was refused: {found}")
        return str(found["run"]["runId"])

    def wait(self, run_id: str, *, seconds: float = 300) -> RunTimes:
        """Wait for a run's end.

        Raises:
            RuntimeError: it did not succeed within that time.
        """
        run: Mapping[str, Any] = {}

        def ended() -> bool:
            nonlocal run
            run = self._ask(_STATUS, {"id": run_id})["runOrError"]
            return run["status"] in ("SUCCESS", "FAILURE", "CANCELED")

        wait_for(ended, seconds=seconds, pause=0.05)
        if run["status"] != "SUCCESS":
            raise RuntimeError(f"run {run_id} ended as {run['status']}")
        return RunTimes(run["creationTime"], run["startTime"], run["endTime"])

    def cpu_of_runs(self, module: str) -> float:
        """CPU seconds of all runs of a code location that have ended, as Linux counts them for their code server.

        Raises:
            RuntimeError: no code server has loaded this module.
        """
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    # Fields 16 and 17, counted from the one after the name: proc(5), cutime and cstime.
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        raise RuntimeError(f"no code server of {module}")

    def is_loaded(self) -> bool:
        """Whether every code location is loaded.

        Raises:
            RuntimeError: one cannot be, and why; or the webserver ended.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"the webserver ended with {self.process.returncode}")
        try:
            entries = self._ask(_LOADED, {})["workspaceOrError"]["locationEntries"]
        except OSError:
            return False
        loaded = [entry["locationOrLoadError"] for entry in entries]
        if broken := [entry for entry in loaded if entry and entry["__typename"] == "PythonError"]:
            raise RuntimeError(broken[0]["message"])
        return bool(loaded) and all(loaded)

    def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"Dagster answered {error.code}: {error.read().decode(errors='replace')}") from None
        return data


@contextmanager
def launcher(folder: Path, modules: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[Launcher]:
    """A webserver on a free port, with its instance in a folder, and its end.

    Args:
        folder: gets the instance's storage and the log.
        modules: by name of a code location, its module.
        environment: of all its processes, besides ours.

    Raises:
        RuntimeError: a code location cannot be loaded.
    """
    (folder / "dagster.yaml").write_text(_INSTANCE.format(folder=folder / "storage"))
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    argv = [str(Path(sys.executable).parent / "dagster-webserver"), "--host", "127.0.0.1", "--port", str(port)]
    workspace = folder / "workspace.yaml"
    loads = [{"python_module": {"module_name": module, "location_name": name}} for name, module in modules.items()]
    workspace.write_text(json.dumps({"load_from": loads}))  # JSON is YAML
    with (folder / "webserver.log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, "--workspace", str(workspace)],
            env={**os.environ, **environment, "DAGSTER_HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        made = Launcher(f"http://127.0.0.1:{port}", process)
        wait_for(made.is_loaded, seconds=180, pause=0.2)
        yield made
    finally:
        _end(process)


def wait_for(what: Callable[[], bool], *, seconds: float, pause: float) -> None:
    """Ask again and again until something is so.

    Args:
        what: the question.
        seconds: after which it is given up.
        pause: seconds between two questions.

    Raises:
        RuntimeError: it was not so within that time.
    """
    give_up = time.monotonic() + seconds
    while not what():
        if time.monotonic() > give_up:
            raise RuntimeError(f"waited {seconds:g} s in vain")
        time.sleep(pause)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    finally:
        # Code servers would go on for 45 s; they are of its process group, which is the benchmark's own.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
