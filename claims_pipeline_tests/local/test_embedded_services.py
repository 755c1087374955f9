"""The embedded services as processes: started once, known again, outliving their starters and kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from claims_pipeline.errors import SettingsError
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import (
    LocalServiceError,
    LocalServices,
    down,
    ensure_postgres,
    ensure_up,
    reset,
    s3_client,
    status,
)
from claims_pipeline.local.postgres import _programs, _wheel_folder, postgres_files
from claims_pipeline.local.process import run_as, unprivileged_account, wait_until

ENSURE_UP = """
import sys
from pathlib import Path
from claims_pipeline.local import ensure_up
services = ensure_up(Path(sys.argv[1]), durable=False)
print(services.database_url, services.s3.url, services.s3.secret_access_key)
"""
# The same, in a process that may start none.
ENSURE_UP_WITHOUT_A_SPAWN = (
    """
import sys
def forbid(event, args):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "os.system"):
        raise SystemExit(f"{event} on the hot path")
sys.addaudithook(forbid)
"""
    + ENSURE_UP
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run Postgres under another user")


def in_another_process(program: str, state_dir: Path) -> str:
    """What the program prints. Returns only when nobody holds its stdout or stderr any more."""
    finished = subprocess.run(
        [sys.executable, "-c", program, str(state_dir)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def as_printed(services: LocalServices) -> str:
    return f"{services.database_url} {services.s3.url} {services.s3.secret_access_key}\n"


def pids(state_dir: Path) -> list[int | None]:
    return [service.pid for service in status(state_dir)]


def kill(state_dir: Path, *, service: int) -> None:
    pid = pids(state_dir)[service]
    assert pid is not None
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    assert wait_until(lambda: pids(state_dir)[service] is None, seconds=60)


@pytest.fixture(scope="module")
def state_dir() -> Iterator[Path]:
    # Not pytest's own folder, whose parent is closed to others: here a root's Postgres can use the state folder itself.
    parent = Path(tempfile.mkdtemp(prefix="claims état "))
    parent.chmod(0o755)
    yield parent / "état 状態"
    reset(parent / "état 状態")
    shutil.rmtree(parent)


@pytest.fixture
def running(state_dir: Path) -> LocalServices:
    return ensure_up(state_dir, durable=False)


@pytest.fixture
def other_state_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    reset(tmp_path / "state")


def query(url: str, sql: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(sql.encode()).fetchone()
    return row[0] if row else None


def execute(url: str, sql: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(sql.encode())


def test_the_data_lie_in_the_state_folder(running: LocalServices, state_dir: Path) -> None:
    assert [service.folder for service in status(state_dir)] == [state_dir / "postgres", state_dir / "s3"]


def test_the_database_speaks_utf8_in_an_order_that_does_not_depend_on_the_platform(running: LocalServices) -> None:
    sql = "SELECT pg_encoding_to_char(encoding) || ' ' || datlocale FROM pg_database WHERE datname = current_database()"
    assert query(running.database_url, sql) == "UTF8 C.UTF-8"


def test_a_second_call_in_another_process_gets_the_same_without_starting_anything(
    running: LocalServices, state_dir: Path
) -> None:
    assert in_another_process(ENSURE_UP_WITHOUT_A_SPAWN, state_dir) == as_printed(running)


def test_four_processes_at_once_start_one_postgres_and_one_s3(other_state_dir: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = set(threads.map(lambda _: in_another_process(ENSURE_UP, other_state_dir), range(4)))
    assert answers == {as_printed(ensure_up(other_state_dir))}


def test_committed_rows_survive_a_kill_of_postgres(running: LocalServices, state_dir: Path) -> None:
    execute(running.database_url, "CREATE TABLE survivors AS SELECT generate_series(1, 1000) AS n")
    kill(state_dir, service=0)
    assert query(ensure_postgres(state_dir, durable=False), "SELECT count(*) FROM survivors") == 1000


def test_a_session_that_is_still_open_does_not_hinder_the_start_after_a_kill(
    running: LocalServices, state_dir: Path
) -> None:
    with psycopg.connect(running.database_url):
        kill(state_dir, service=0)
        assert query(ensure_postgres(state_dir, durable=False), "SELECT 1") == 1


def test_objects_survive_a_kill_of_s3(running: LocalServices, state_dir: Path) -> None:
    client = s3_client(running.s3)
    ensure_bucket(client, "survivors")
    client.put_object(Bucket="survivors", Key="a/b.csv", Body=b"content")
    kill(state_dir, service=1)
    again = s3_client(ensure_up(state_dir, durable=False).s3)
    assert again.get_object(Bucket="survivors", Key="a/b.csv")["Body"].read() == b"content"


def test_uploads_that_a_killed_s3_left_unfinished_are_deleted(running: LocalServices, state_dir: Path) -> None:
    down(state_dir)
    leftover = state_dir / "s3" / "some-bucket" / ".rclone_temp_put_0"
    leftover.parent.mkdir(exist_ok=True)
    leftover.touch()
    ensure_up(state_dir, durable=False)
    assert not leftover.exists()


def test_a_stale_pid_file_that_names_a_living_stranger_does_not_hinder_the_start(
    running: LocalServices, state_dir: Path
) -> None:
    down(state_dir)
    (state_dir / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\nx\n0\n1\n\n\n\nready\n")
    assert query(ensure_postgres(state_dir, durable=False), "SELECT 1") == 1


def test_a_lost_password_is_told_in_words(other_state_dir: Path) -> None:
    ensure_postgres(other_state_dir, durable=False)
    down(other_state_dir)
    record = other_state_dir / "services" / "postgres.json"
    remembered = json.loads(record.read_text())
    record.write_text(json.dumps(remembered | {"secret": "another"}))
    with pytest.raises(LocalServiceError, match="password is lost"):
        ensure_postgres(other_state_dir, durable=False)


def test_the_ports_stay_the_same_over_a_restart(running: LocalServices, state_dir: Path) -> None:
    down(state_dir)
    assert ensure_up(state_dir, durable=False) == running


def test_ports_that_strangers_have_taken_are_chosen_anew(running: LocalServices, state_dir: Path) -> None:
    down(state_dir)
    ports = [int(str(service.url).split(":")[2].split("/")[0]) for service in status(state_dir)]
    strangers = [socket.create_server(("127.0.0.1", port)) for port in ports]
    again = ensure_up(state_dir, durable=False)
    for stranger in strangers:
        stranger.close()
    assert (query(again.database_url, "SELECT 1"), again.s3.url != running.s3.url) == (1, True)


def test_down_stops_both(running: LocalServices, state_dir: Path) -> None:
    down(state_dir)
    assert pids(state_dir) == [None, None]


def test_the_password_is_in_no_status(running: LocalServices, state_dir: Path) -> None:
    password = running.database_url.split(":")[2].split("@")[0]
    assert password not in repr(status(state_dir)) + repr(running)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads command lines from /proc")
def test_no_secret_is_on_a_command_line(running: LocalServices, state_dir: Path) -> None:
    password = running.database_url.split(":")[2].split("@")[0]
    lines = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids(state_dir))
    assert not any(secret.encode() in lines for secret in (password, running.s3.secret_access_key))


def test_nobody_else_can_read_secrets_or_data(running: LocalServices, state_dir: Path) -> None:
    modes = {entry.name: entry.stat().st_mode & 0o077 for entry in state_dir.iterdir()}
    assert modes == {"services": 0, "log": 0, "postgres": 0, "s3": 0}


def test_postgres_does_not_log_the_values_that_it_stumbles_on(running: LocalServices, state_dir: Path) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        execute(running.database_url, "SELECT 'Turtledove'::int")
    assert "Turtledove" not in status(state_dir)[0].log.read_text()


def test_reset_deletes_the_data_of_its_own_state_folder_only(running: LocalServices, other_state_dir: Path) -> None:
    ensure_up(other_state_dir, durable=False)
    (other_state_dir / "dagster").mkdir()
    (other_state_dir / "keys").touch()
    place = status(other_state_dir)[0].folder
    reset(other_state_dir, also=["keys"])
    assert (place.exists(), sorted(entry.name for entry in other_state_dir.iterdir())) == (
        False,
        ["dagster", "log", "services"],
    )
    assert query(running.database_url, "SELECT 1") == 1


def test_reset_refuses_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(SettingsError):
        reset(tmp_path)


def test_down_and_reset_of_a_missing_folder_do_nothing(tmp_path: Path) -> None:
    down(tmp_path / "missing")
    reset(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


@needs_root
def test_root_keeps_the_cluster_outside_a_folder_that_is_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    url = ensure_postgres(closed / "state", durable=False)
    place = status(closed / "state")[0].folder
    found = (query(url, "SELECT 1"), tmp_path in place.parents, closed.stat().st_mode & 0o777)
    reset(closed / "state")
    assert found == (1, False, 0o700)
    assert not place.exists()


@needs_root
def test_a_cluster_outside_a_state_folder_is_found_again(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    execute(ensure_postgres(closed / "state", durable=False), "CREATE TABLE survivors AS SELECT 7 AS n")
    down(closed / "state")
    try:
        assert query(ensure_postgres(closed / "state", durable=False), "SELECT n FROM survivors") == 7
    finally:
        reset(closed / "state")


@needs_root
def test_programs_that_the_unprivileged_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    wheel = _wheel_folder()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in (wheel, wheel.parent / f"{wheel.name}.libs"):
        if folder.is_dir():
            shutil.copytree(folder, closed / folder.name, ignore=shutil.ignore_patterns("pginstall", "*.a"))
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        programs = _programs(closed / wheel.name, place=Path(place), account=unprivileged_account())
        runs = run_as([str(programs / "initdb"), "--version"], account=unprivileged_account(), cwd=Path("/"))
        assert (Path(place) in programs.parents, runs) == (True, 0)


def test_the_state_folder_of_another_user_is_refused(running: LocalServices, state_dir: Path) -> None:
    account = unprivileged_account()
    if account is None:
        pytest.skip("only root can make a folder of another user")
    services = postgres_files(state_dir).alive.parent
    down(state_dir)
    os.chown(services, account.uid, account.gid)
    try:
        with pytest.raises(SettingsError):
            ensure_up(state_dir)
    finally:
        os.chown(services, 0, 0)
