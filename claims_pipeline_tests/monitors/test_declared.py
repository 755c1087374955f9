"""Every monitor and the dashboard: Datadog's models understand them, and they ask for metrics that are sent."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from claims_pipeline.alerts import METRICS
from claims_pipeline.monitors import Target, dashboard, declared_for, monitors
from claims_pipeline.monitors.declared import AWS_DELAY, FOREIGN, OURS
from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline_tests.monitors.account import not_understood

PROD = Target(env="prod", runbooks="https://git.example/docs/runbooks", notify="@slack-claims")
LEAN = replace(PROD, lean=True)


def by_key(target: Target) -> dict[str, dict[str, Any]]:
    """A target's monitors by their keys."""
    return {declared.key: body for declared, body in zip(declared_for(target), monitors(target), strict=True)}


BY_KEY = {**by_key(LEAN), **by_key(PROD)}
DECLARED = {declared.key: declared for declared in (*declared_for(LEAN), *declared_for(PROD))}
_QUERY = re.compile(r"(?:sum|max|min|avg):([a-z0-9_.]+)\{([^}]*)\}(?: by \{([^}]*)\})?")


def queries(value: Any) -> list[str]:
    """Every query within some JSON."""
    if isinstance(value, dict):
        own = [value["query"]] if isinstance(value.get("query"), str) and ":" in value["query"] else []
        return own + [one for part in value.values() for one in queries(part)]
    return [one for part in value for one in queries(part)] if isinstance(value, list) else []


DASHBOARD_QUERIES = [query for query in queries(dashboard()) if not query.startswith("tag:")]
ALL_QUERIES = [body["query"] for body in BY_KEY.values()] + DASHBOARD_QUERIES


@pytest.mark.parametrize("key", BY_KEY)
def test_datadogs_model_understands_a_monitor(key: str) -> None:
    assert not_understood("monitor", BY_KEY[key]) == []


def test_datadogs_model_understands_the_dashboard() -> None:
    assert not_understood("dashboard", dashboard()) == []


def test_a_wrong_word_is_noticed_by_the_check_of_models() -> None:
    wrong = {**BY_KEY["held_dump"], "type": "no such type"}
    assert not_understood("monitor", wrong) == ["monitor.type"] or "monitor" in not_understood("monitor", wrong)


@pytest.mark.parametrize("query", ALL_QUERIES)
def test_a_query_asks_for_metrics_that_are_sent(query: str) -> None:
    asked = {name for name, _, _ in _QUERY.findall(query)}
    assert asked
    assert asked <= {metric.name for metric in METRICS} | set(FOREIGN)


@pytest.mark.parametrize("query", ALL_QUERIES)
def test_a_query_asks_for_tags_that_its_metric_has(query: str) -> None:
    tags = {metric.name: {*metric.tags, "env"} for metric in METRICS} | {name: {"queuename"} for name in FOREIGN}
    for name, scope, by in _QUERY.findall(query):
        scoped = set(re.findall(r"!?\$?(\w+)(?::| IN| NOT IN)", scope)) | set(re.findall(r"\$(\w+)", scope))
        assert scoped | set(filter(None, by.split(","))) <= tags[name]


def test_every_metric_that_is_sent_is_on_the_dashboard() -> None:
    shown = {name for query in DASHBOARD_QUERIES for name, _, _ in _QUERY.findall(query)}
    assert {metric.name for metric in METRICS} - shown == set()


@pytest.mark.parametrize("body", [*BY_KEY.values(), *monitors(LEAN)])
def test_a_monitor_compares_with_its_critical_threshold(body: dict[str, Any]) -> None:
    assert float(body["query"].rpartition(" ")[2]) == body["options"]["thresholds"]["critical"]


@pytest.mark.parametrize("body", BY_KEY.values(), ids=BY_KEY)
def test_a_monitor_is_tagged_as_ours_and_watches_its_env_alone(body: dict[str, Any]) -> None:
    assert {OURS, "env:prod"} <= set(body["tags"])
    assert "env:prod" in body["query"] or "aws.sqs" in body["query"]


@pytest.mark.parametrize("body", BY_KEY.values(), ids=BY_KEY)
def test_a_monitor_says_where_its_runbook_is_and_whom_it_tells(body: dict[str, Any]) -> None:
    assert re.search(r"https://git\.example/docs/runbooks/[a-z-]+\.md", body["message"])
    assert body["message"].endswith("@slack-claims")


@pytest.mark.parametrize("key", DECLARED)
def test_the_page_of_a_monitor_names_it_among_its_symptoms(key: str) -> None:
    page = (PROJECT_ROOT / "docs" / "runbooks" / f"{DECLARED[key].runbook}.md").read_text()
    symptom = page.partition("## Symptom")[2].partition("## What it means")[0]
    assert f"*{DECLARED[key].name}*" in symptom


@pytest.mark.parametrize("target", [PROD, LEAN])
def test_identities_are_unique(target: Target) -> None:
    assert len(by_key(target)) == len(declared_for(target))


def test_a_place_misses_the_sign_of_life_of_its_mode_alone() -> None:
    signs = {"no_heartbeat", "no_catch_up"}
    assert (by_key(PROD).keys() & signs, by_key(LEAN).keys() & signs) == ({"no_heartbeat"}, {"no_catch_up"})


def test_where_a_cronjob_reads_the_queue_daily_an_event_may_wait_for_a_day() -> None:
    allowed = [by_key(target)["queue_behind"]["options"]["thresholds"]["critical"] for target in (PROD, LEAN)]
    assert allowed == [900, 26 * 3600]


@pytest.mark.parametrize("key", [key for key, body in BY_KEY.items() if "aws." in body["query"]])
def test_a_monitor_of_cloudwatchs_metrics_waits_for_them(key: str) -> None:
    assert BY_KEY[key]["options"]["evaluation_delay"] == AWS_DELAY


def test_the_queues_are_named_as_their_stack_names_them() -> None:
    template = (PROJECT_ROOT / "deploy" / "aws" / "events.yaml").read_text()
    prefix = re.search(r"NamePrefix:\n    Type: String\n    Default: (\S+)", template)
    assert prefix
    named = re.findall(r"QueueName: !Sub \"(.*)\"", template)
    watched = re.findall(r"queuename:([\w-]+)", f"{BY_KEY['queue_behind']} {BY_KEY['dead_letters']}")
    assert [name.replace("${NamePrefix}", prefix[1]) for name in named] == watched
