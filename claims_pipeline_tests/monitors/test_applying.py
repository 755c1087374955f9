"""`claims-pipeline monitors` against an account of Datadog over HTTP: creates, updates, deletes, and leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result
from urllib3 import HTTPResponse

from claims_pipeline.cli import app
from claims_pipeline.monitors import Target, monitors
from claims_pipeline.monitors.declared import OURS, key_tag
from claims_pipeline.monitors.http_api import _AsDatadogAsks
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.monitors.account import API_KEY, APP_KEY, Account

ALL = len(monitors(Target(env="prod", runbooks="")))
THEIRS = {
    "name": "[claims_pipeline prod] No dump arrived",
    "type": "query alert",
    "query": "a > 1",
    "tags": ["env:prod"],
}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account, and settings that point to it."""
    account = Account()
    for name, value in {
        "API_URL": account.url, "API_KEY": API_KEY, "APP_KEY": APP_KEY, "ENV": "prod", "NOTIFY": "@slack-claims",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"CLAIMS_DATADOG_{name}", value)
    get_settings.cache_clear()
    yield account
    get_settings.cache_clear()
    account.stop()


def run(*arguments: str) -> Result:
    """The command, as from a terminal."""
    return CliRunner().invoke(app, ["monitors", *arguments])


def test_everything_is_created_in_an_empty_account(account: Account) -> None:
    assert run("apply").exit_code == 0
    assert (len(account.monitors), len(account.held["dashboard"])) == (ALL, 1)


def test_applying_again_writes_nothing(account: Account) -> None:
    run("apply")
    account.calls.clear()
    assert run("apply").exit_code == 0
    assert account.writes == []


def test_a_monitor_that_somebody_changed_is_put_right(account: Account) -> None:
    run("apply")
    changed = account.monitors[0]
    before, changed["query"] = changed["query"], "sum(last_5m):sum:claims.runs{*} > 99"
    account.calls.clear()
    run("apply")
    assert (changed["query"], account.writes) == (before, [("PUT", f"monitor/{changed['id']}")])


def test_a_dashboard_that_somebody_changed_is_put_right(account: Account) -> None:
    run("apply")
    (board,) = account.held["dashboard"].values()
    taken = board["widgets"].pop()
    run("apply")
    assert board["widgets"][-1] == taken


def test_what_people_muted_and_what_datadog_adds_is_no_difference(account: Account) -> None:
    run("apply")
    for number, monitor in enumerate(account.monitors):
        monitor["options"]["silenced"] = {"*": None}
        monitor["tags"].reverse()
        monitor["type"] = "metric alert"
        monitor["creator"] = {"id": number}
        monitor["options"]["evaluation_delay"] = monitor["options"]["evaluation_delay"] or None
    assert run("diff").exit_code == 0


def test_monitors_of_others_are_left_alone(account: Account) -> None:
    theirs = account.add("monitor", dict(THEIRS))
    run("apply")
    run("delete", "--yes")
    assert account.monitors == [theirs]


def test_monitors_of_another_env_are_left_alone(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    run("apply")
    monkeypatch.setenv("CLAIMS_DATADOG_ENV", "staging")
    get_settings.cache_clear()
    run("apply")
    run("delete", "--yes")
    assert {tag for monitor in account.monitors for tag in monitor["tags"] if tag.startswith("env:")} == {"env:prod"}


def test_a_dashboard_of_others_with_our_title_is_left_alone(account: Account) -> None:
    theirs = account.add("dashboard", {"title": "claims_pipeline", "description": "mine", "widgets": []})
    run("apply")
    assert account.held["dashboard"][theirs["id"]] == theirs
    assert len(account.held["dashboard"]) == 2


def test_a_monitor_that_is_no_longer_declared_is_deleted(account: Account) -> None:
    old = account.add("monitor", {**THEIRS, "tags": [OURS, key_tag("of_an_older_version"), "env:prod"]})
    run("apply")
    assert old not in account.monitors


def test_two_of_one_kind_become_one(account: Account) -> None:
    run("apply")
    copied = account.add("monitor", {k: v for k, v in account.monitors[0].items() if k != "id"})
    run("apply")
    assert copied not in account.monitors
    assert len(account.monitors) == ALL


def test_a_dry_run_tells_and_writes_nothing(account: Account) -> None:
    result = run("apply", "--dry-run")
    assert (account.writes, "No heartbeat of the daemon" in result.output) == ([], True)


def test_diff_ends_with_1_where_something_differs(account: Account) -> None:
    assert run("diff").exit_code == 1


def test_diff_names_the_field_that_differs(account: Account) -> None:
    run("apply")
    account.monitors[0]["options"]["thresholds"]["critical"] = 7.0
    changed = [one for one in json.loads(run("diff", "--json").stdout) if one["what"] != "unchanged"]
    assert [one["differs"] for one in changed] == [["options.thresholds.critical"]]


def test_more_monitors_than_a_page_holds_are_all_seen(account: Account) -> None:
    for number in range(250):
        account.add("monitor", {**THEIRS, "tags": [OURS, key_tag(f"old_{number}"), "env:prod"]})
    run("delete", "--yes")
    assert account.monitors == []


def test_an_answer_of_overload_is_tried_again(account: Account) -> None:
    account.failures.extend([429, 503])
    assert run("apply").exit_code == 0


def test_a_monitor_beyond_the_rate_limit_is_made_after_a_pause(account: Account) -> None:
    run("apply")
    account.answer("DELETE", f"/api/v1/monitor/{account.monitors[0]['id']}", {})
    account.refused.append(("POST", 429))
    assert (run("apply").exit_code, len(account.monitors)) == (0, ALL)


def test_a_monitor_whose_making_may_have_worked_is_not_made_again_at_once(account: Account) -> None:
    account.refused.append(("POST", 502))
    assert (run("apply").exit_code, len(account.writes)) == (3, 1)


@pytest.mark.parametrize(("told", "pause"), [("7", 7.0), ("100000", 60.0), ("", None), ("soon", None)])
def test_the_pause_is_the_one_that_datadog_asks_for_up_to_a_minute(told: str, pause: float | None) -> None:
    answer = HTTPResponse(status=429, headers={"X-RateLimit-Reset": told})
    assert _AsDatadogAsks().get_retry_after(answer) == pause


def test_what_somebody_else_deletes_meanwhile_is_no_error(account: Account) -> None:
    account.add("monitor", {**THEIRS, "tags": [OURS, key_tag("old"), "env:prod"]})
    account.refused.append(("DELETE", 404))
    assert run("delete", "--yes").exit_code == 0


def test_our_dashboard_is_found_among_more_than_a_page_of_others(account: Account) -> None:
    for number in range(150):
        account.add("dashboard", {"title": f"theirs {number}", "widgets": []})
    run("apply")
    account.calls.clear()
    run("apply")
    assert account.writes == []


def test_the_lean_mode_takes_the_heartbeats_monitor_away(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    run("apply")
    monkeypatch.setenv("CLAIMS_DATADOG_LEAN", "true")
    get_settings.cache_clear()
    run("apply")
    keys = {tag for monitor in account.monitors for tag in monitor["tags"]}
    assert (key_tag("no_heartbeat") in keys, key_tag("no_catch_up") in keys) == (False, True)


def test_an_env_in_capitals_is_found_again(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_DATADOG_ENV", "LHDI")
    get_settings.cache_clear()
    run("apply")
    account.calls.clear()
    run("apply")
    assert account.writes == []


def test_a_name_is_shown_whole(account: Account) -> None:
    assert "[claims_pipeline prod] No dump arrived" in run("diff").stdout


def test_wrong_keys_are_told_in_one_line_without_the_keys(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_DATADOG_APP_KEY", "not-the-key")
    get_settings.cache_clear()
    result = run("apply")
    assert (result.exit_code, "answered 403" in result.stderr, "not-the-key" in result.output) == (3, True, False)


def test_missing_keys_are_told(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAIMS_DATADOG_API_KEY")
    get_settings.cache_clear()
    result = run("diff")
    assert (result.exit_code, "CLAIMS_DATADOG_API_KEY" in result.stderr) == (3, True)


def test_an_account_that_cannot_be_reached_is_told(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_DATADOG_API_URL", "http://127.0.0.1:9")
    get_settings.cache_clear()
    result = run("diff")
    assert (result.exit_code, "could not be reached" in result.stderr) == (3, True)
