"""What `fix_services` promises to other tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from claims_pipeline.local.process import wait_until
from claims_pipeline_tests.fix_services import database_url, services

__all__ = ["database_url", "services"]

A_SESSION = """
import os, signal
import pytest
from pathlib import Path
from claims_pipeline_tests.fix_services import services

def test_killed(services, tmp_path_factory):
    Path(os.environ["TOLD"]).write_text(str(tmp_path_factory.getbasetemp() / "services"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_gets_an_empty_database(database_url: str, attempt: int) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(b"CREATE TABLE only_once (attempt int)")
        found = connection.execute(b"SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (1,)


def test_the_services_of_a_killed_test_session_go_away(tmp_path: Path) -> None:
    (tmp_path / "test_killed.py").write_text(A_SESSION)
    told = tmp_path / "told"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "test_killed.py"],
        cwd=tmp_path,
        env=environment
        | {"TOLD": str(told), "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        capture_output=True,
        check=False,
    )
    assert wait_until(lambda: not Path(told.read_text()).exists(), seconds=60)
