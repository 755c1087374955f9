"""`claims-pipeline local`: real embedded parts in a state folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from claims_pipeline.local import reset
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import Configure


@pytest.fixture
def state(configure: Configure, tmp_path: Path) -> Iterator[Path]:
    """The state folder; empty before and after."""
    folder = tmp_path / "state"
    yield folder
    reset(folder)


def running() -> dict[str, bool]:
    """Which parts run, as `status` says."""
    return {part["name"]: part["running"] for part in call_json("local", "status")}


def test_before_the_first_start_nothing_runs_and_nothing_is_made(state: Path) -> None:
    assert (running(), state.exists()) == ({"postgres": False, "s3": False}, False)


def test_the_parts_live_as_long_as_they_are_told(state: Path) -> None:
    """One story, since starting takes seconds: up, status, down, up again, reset."""
    shown = call("local", "up")
    assert (shown.exit_code, "postgresql://" in shown.stdout, "http://127.0.0.1" in shown.stdout) == (0, True, True)
    assert running() == {"postgres": True, "s3": True}
    assert call("catch-up").exit_code == 0
    assert call("local", "down").exit_code == 0
    assert running() == {"postgres": False, "s3": False}
    assert (state / "keys").exists() or (state / "postgres").exists()
    assert call("local", "reset", answer="n\n").exit_code == 1
    assert (state / "postgres").exists()
    assert call("local", "reset", "--yes").exit_code == 0
    assert sorted(path.name for path in state.iterdir() if path.name in {"postgres", "s3", "keys", "dagster"}) == []


def test_reset_leaves_a_folder_alone_that_is_not_ours(state: Path) -> None:
    state.mkdir()
    (state / "thesis.txt").write_text("years of work")
    assert call("local", "reset", "--yes").exit_code == 3
    assert (state / "thesis.txt").exists()
    (state / "thesis.txt").unlink()
