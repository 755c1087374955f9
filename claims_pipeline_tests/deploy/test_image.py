"""The image does all its work as a cluster runs it: no root, no capability, and only /tmp to write to.

Needs a Docker daemon, and builds the image: `make test-image`, some minutes.
"""

from __future__ import annotations

import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from claims_pipeline.local import LocalServices
from claims_pipeline.local.process import free_port, wait_until
from claims_pipeline.vocabulary import Role
from claims_pipeline_tests.deploy.docker import Image, build, contains, docker
from claims_pipeline_tests.fix_pipeline import FEEDS, SUBMISSIONS, Pipeline, written
from claims_pipeline_tests.fix_services import as_role

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800)]

DAGSTER_HOME = ("env", "DAGSTER_HOME=/tmp")
CANARY = secrets.token_hex(16)
PLANTED = dict.fromkeys((".env", "claims_pipeline/.env", ".local/keys/token"), f"CLAIMS_SLACK_TOKEN={CANARY}\n")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    built = build(tmp_path_factory.mktemp("tree"), planted=PLANTED)
    yield built
    docker("rmi", "--force", built.tag)


@pytest.fixture
def env_file(pipeline: Pipeline, services: LocalServices, tmp_path: Path) -> Path:
    """The settings of a pipeline of the test's own, as a file that only we can read."""
    settings = pipeline.services.settings
    secret = {
        "DATABASE_URL": settings.database_url,
        "OWNER_DATABASE_URL": settings.owner_database_url,
        "TOKEN_KEYS": settings.token_keys,
        "QUARANTINE_KEYS": settings.quarantine_keys,
    }
    values = {name: value.get_secret_value() for name, value in secret.items() if value is not None}
    values |= {
        "BI_DATABASE_URL": as_role(values["OWNER_DATABASE_URL"], Role.BI_READER),
        "S3_ENDPOINT_URL": services.s3.url,
        "S3_ACCESS_KEY_ID": services.s3.access_key_id,
        "S3_SECRET_ACCESS_KEY": services.s3.secret_access_key,
        "INBOX_BUCKET": settings.inbox_bucket,
        "ARCHIVE_BUCKET": settings.archive_bucket,
        "SETTLE_SECONDS": "0",
    }
    path = tmp_path / "image.env"
    path.touch(mode=0o600)
    path.write_text("".join(f"CLAIMS_{name}={value}\n" for name, value in values.items()))
    return path


def test_the_command_explains_itself_without_network(image: Image) -> None:
    assert "catch-up" in image.run("claims-pipeline", "--help")


def test_the_code_location_loads(image: Image) -> None:
    assert "Validation successful" in image.run(
        "dagster", "definitions", "validate", "-m", "claims_pipeline.definitions"
    )


def test_it_runs_as_a_user_of_its_own_by_number(image: Image) -> None:
    assert docker("inspect", "--format={{.Config.User}}", image.tag) == "10001:10001"


def test_no_program_in_it_changes_who_it_is(image: Image) -> None:
    assert image.run("sh", "-c", "find / -xdev -type f -perm /6000 2>/dev/null || true") == ""


@pytest.mark.parametrize("program", ["pip", "pip3", "uv", "gcc", "cc", "make", "git", "rclone"])
def test_it_has_no_program_that_installs_or_compiles(image: Image, program: str) -> None:
    assert image.run("sh", "-c", f"command -v {program} || echo none").strip() == "none"


@pytest.mark.parametrize(
    "module",
    [
        *("streamlit", "openlineage.client", "opentelemetry.exporter.otlp.proto.http.trace_exporter"),
        *("dagster_k8s", "dagster_postgres", "dagster_aws.s3.compute_log_manager"),
    ],
)
def test_it_has_every_extra_and_what_the_chart_configures(image: Image, module: str) -> None:
    image.run("python3", "-c", f"import {module}")


@pytest.mark.parametrize("module", ["pip", "setuptools", "pytest", "mypy", "moto", "hypothesis", "playwright"])
def test_it_has_no_module_for_development(image: Image, module: str) -> None:
    found = image.run("python3", "-c", f"import importlib.util as u; print(u.find_spec({module!r}) is not None)")
    assert found.strip() == "False"


def test_no_process_has_to_compile_python(image: Image) -> None:
    script = (
        "import pathlib, sys; import claims_pipeline.definitions; "
        "files = [m.__cached__ for m in sys.modules.values() if getattr(m, '__cached__', None)]; "
        "print(len(files) > 1000, [f for f in files if not pathlib.Path(f).exists()])"
    )
    assert image.run("python3", "-c", script).splitlines()[-1] == "True []"


def test_what_lies_beside_the_source_gets_into_no_layer(image: Image) -> None:
    assert not contains(image, CANARY.encode())


def test_what_is_in_a_layer_would_be_found(image: Image) -> None:
    assert contains(image, b"Daily dumps of personal records")


def test_a_dump_is_caught_up(image: Image, pipeline: Pipeline, env_file: Path) -> None:
    pipeline.deliver(written(SUBMISSIONS, rows=40)[1])
    image.run("claims-pipeline", "catch-up", network="host", env_file=env_file)
    assert len(pipeline.table(FEEDS[SUBMISSIONS])) == 40


def test_a_backup_is_made_with_the_client_programs_of_the_image(
    image: Image, pipeline: Pipeline, env_file: Path
) -> None:
    image.run("claims-pipeline", "backup", "now", network="host", env_file=env_file)
    assert pipeline.rows("select kind, passed from ops.backup") == [("backup", True)]


def test_a_run_of_dagster_loads_a_dump(image: Image, pipeline: Pipeline, env_file: Path) -> None:
    pipeline.deliver(written(SUBMISSIONS, rows=40)[1])
    pipeline.flow.discover(FEEDS[SUBMISSIONS].sender)
    day = pipeline.rows("select delivery_day from ops.dump")[0][0]
    image.run(
        *("dagster", "asset", "materialize", "-m", "claims_pipeline.definitions"),
        *("--select", f'+key:"va_form526/{SUBMISSIONS}"', "--partition", str(day)),
        network="host",
        env_file=env_file,
    )
    assert len(pipeline.table(FEEDS[SUBMISSIONS])) == 40


def test_the_code_server_answers_its_probe_and_ends_when_asked(image: Image, env_file: Path) -> None:
    command = ("dagster", "api", "grpc", "-m", "claims_pipeline.definitions", "--host", "127.0.0.1", "--port", "3030")
    with image.serving(*command, env_file=env_file) as container:
        assert wait_until(
            lambda: container.does("dagster", "api", "grpc-health-check", "--port", "3030"), seconds=300
        ), container.said()
        assert container.stop() != 137


def test_the_dashboard_answers_its_probe_and_ends_when_asked(image: Image, env_file: Path) -> None:
    port = free_port(None)
    with image.serving("claims-pipeline", "dashboard", "--port", str(port), network="host", env_file=env_file) as one:
        assert wait_until(lambda: _answers(f"http://127.0.0.1:{port}/_stcore/health"), seconds=300), one.said()
        assert one.stop() != 137


def test_dagsters_webserver_answers_its_probe_and_ends_when_asked(image: Image) -> None:
    port = free_port(None)
    command = ("dagster-webserver", "--empty-workspace", "--host", "127.0.0.1", "--port", str(port))
    with image.serving(*DAGSTER_HOME, *command, network="host") as one:
        assert wait_until(lambda: _answers(f"http://127.0.0.1:{port}/server_info"), seconds=300), one.said()
        assert one.stop() != 137


def test_dagsters_daemon_starts_its_daemons_and_ends_when_asked(image: Image) -> None:
    with image.serving(*DAGSTER_HOME, "dagster-daemon", "run", "--empty-workspace") as one:
        assert wait_until(lambda: "SchedulerDaemon" in one.said(), seconds=300), one.said()
        assert one.stop() != 137


def test_a_command_that_waits_ends_when_asked(image: Image) -> None:
    with image.serving("python3", "-c", "import time; print('up'); time.sleep(3600)") as container:
        assert wait_until(lambda: "up" in container.said(), seconds=300)
        assert container.stop() != 137


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
