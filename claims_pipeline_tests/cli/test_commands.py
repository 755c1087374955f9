"""The command tree: every command answers `--help`, and what needs no service works without one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from claims_pipeline.cli import app
from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.frames.keys import KeyRing
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import DAY, Configure


def commands(group: object, path: str = "") -> Iterator[str]:
    """Every command and group below a group."""
    for name, command in getattr(group, "commands", {}).items():
        yield f"{path}{name}"
        yield from commands(command, f"{path}{name} ")


COMMANDS = sorted(commands(typer.main.get_command(app)))

RELIED_ON = {
    "approve", "backup drill", "backup list", "backup now", "backup prune", "backup restore",
    "catch-up", "demo", "dev", "explain", "feeds list", "feeds show", "generate", "keys", "local down",
    "local reset", "local status", "local up", "migrate", "quarantine list", "quarantine replay",
    "quarantine show", "reject", "retry", "status",
}  # fmt: skip
"""Commands that manifests, messages and people's hands know: none may vanish."""


def test_no_command_that_is_relied_on_has_vanished() -> None:
    assert RELIED_ON - set(COMMANDS) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = call(*command.split(), "--help")
    assert (result.exit_code, "Usage:" in result.stdout) == (0, True)


def test_help_imports_no_room() -> None:
    """It answers at once, and also where settings are wrong."""
    code = (
        "import sys; from typer.testing import CliRunner; from claims_pipeline.cli import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "print([name for name in ('dagster', 'pandas', 'pandera', 'boto3', 'psycopg') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_installed_command_is_the_same() -> None:
    program = Path(sys.executable).parent / "claims-pipeline"
    run = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    assert "catch-up" in run.stdout


# ---------------------------------------------------------------------------------------------- keys


def test_keys_prints_two_settings(configure: Configure) -> None:
    lines = call("keys").stdout.splitlines()
    assert [line.partition("=")[0] for line in lines] == ["CLAIMS_TOKEN_KEYS", "CLAIMS_QUARANTINE_KEYS"]


def test_keys_are_fit_to_be_set(configure: Configure) -> None:
    rings = [KeyRing.parse(line.partition("=")[2]) for line in call("keys").stdout.splitlines()]
    assert len(rings) == 2


def test_keys_are_new_each_time(configure: Configure) -> None:
    assert call("keys").stdout != call("keys").stdout


# ---------------------------------------------------------------------------------------------- feeds


def test_feeds_list_names_every_feed(configure: Configure) -> None:
    assert [feed["feed"] for feed in call_json("feeds", "list")] == [feed.name for feed in all_feeds()]


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_feeds_show_names_every_column(configure: Configure, feed: Feed) -> None:
    shown = call("feeds", "show", feed.name, "--json").stdout
    assert all(f'"{column.name}"' in shown for column in feed.columns)


def test_feeds_show_is_a_table_for_people(configure: Configure) -> None:
    result = call("feeds", "show", "va_form526/form526_uploads")
    assert (result.exit_code, "va_form526.form526_uploads" in result.stdout) == (0, True)


def test_feeds_show_of_an_unknown_feed_lists_the_known_ones(configure: Configure) -> None:
    result = call("feeds", "show", "nobody/nothing")
    assert (result.exit_code, "va_form526/form526_uploads" in result.stderr) == (1, True)


# ---------------------------------------------------------------------------------------------- generate


def test_generate_writes_dumps_into_a_folder(configure: Configure, tmp_path: Path) -> None:
    result = call("generate", "--days", "1", "--rows", "10", "--first", str(DAY), "--to", str(tmp_path / "dumps"))
    assert (result.exit_code, len(list((tmp_path / "dumps" / "526").rglob("*.csv*")))) == (0, 5)


def test_generate_starts_no_service(configure: Configure, tmp_path: Path) -> None:
    call("generate", "--days", "1", "--rows", "10", "--first", str(DAY), "--to", str(tmp_path / "dumps"))
    assert not (tmp_path / "state").exists()


def test_generate_writes_the_manifest_that_it_prints(configure: Configure, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    made = call_json(
        "generate", "--days", "1", "--rows", "10", "--first", str(DAY), "--to", str(tmp_path), "--manifest", str(file)
    )
    assert (len(made["dumps"]), [dump["sha256"] in file.read_text() for dump in made["dumps"]]) == (5, [True] * 5)


def test_generate_refuses_a_date_that_is_none(configure: Configure, tmp_path: Path) -> None:
    result = call("generate", "--first", "yesterday", "--to", str(tmp_path))
    assert (result.exit_code, "--first" in result.stderr) == (2, True)
