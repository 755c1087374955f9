"""Every monitor and the dashboard: Datadog's models understand them, and they ask for metrics that are sent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from claims_pipeline.alerts import METRICS
from claims_pipeline.monitors import MONITORS, Target, dashboard, monitors
from claims_pipeline.monitors.declared import FOREIGN, OURS
from claims_pipeline_tests.monitors.account import not_understood

PROD = Target(env="prod", runbooks="https://git.example/docs/runbooks", notify="@slack-claims")
BY_KEY = {declared.key: body for declared, body in zip(MONITORS, monitors(PROD), strict=True)}
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


@pytest.mark.parametrize("declared", MONITORS, ids=lambda declared: declared.key)
def test_a_monitor_compares_with_its_critical_threshold(declared: Any) -> None:
    body = BY_KEY[declared.key]
    assert float(body["query"].rpartition(" ")[2]) == body["options"]["thresholds"]["critical"]


@pytest.mark.parametrize("body", BY_KEY.values(), ids=BY_KEY)
def test_a_monitor_is_tagged_as_ours_and_watches_its_env_alone(body: dict[str, Any]) -> None:
    assert {OURS, "env:prod"} <= set(body["tags"])
    assert "env:prod" in body["query"] or "aws.sqs" in body["query"]


@pytest.mark.parametrize("body", BY_KEY.values(), ids=BY_KEY)
def test_a_monitor_says_where_its_runbook_is_and_whom_it_tells(body: dict[str, Any]) -> None:
    assert re.search(r"https://git\.example/docs/runbooks/[a-z-]+\.md", body["message"])
    assert body["message"].endswith("@slack-claims")


def test_identities_are_unique() -> None:
    assert len(BY_KEY) == len(MONITORS)
