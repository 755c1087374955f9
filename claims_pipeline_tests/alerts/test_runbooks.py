"""Every alert leads to a page of docs/runbooks, and what the pages tell people to type exists."""

from __future__ import annotations

import ast
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.main

from claims_pipeline.alerts import Alerts, SlackSink, router
from claims_pipeline.alerts.messages import TASKS
from claims_pipeline.alerts.runbooks import OF_TASK, Runbook, of_dumps, of_report, of_task
from claims_pipeline.cli import app
from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline.vocabulary import NO_ROWS_AS_USUAL, DeliveryNews, DumpStatus, DumpVerdict
from claims_pipeline_tests.alerts.reports import ABSENT, ATTENTION, FAILURE, LOADED, REFUSED, SUCCESS, TOO_LATE
from claims_pipeline_tests.fix_listeners import SlackListener

PAGES = PROJECT_ROOT / "docs" / "runbooks"
HEADINGS = ["## Symptom", "## What it means", "## Look at", "## Do", "## Wake"]
BASE = "https://git.example/docs/runbooks"
DAY = dt.date(2026, 5, 4)


@pytest.mark.parametrize("page", Runbook)
def test_a_runbook_has_a_page_that_says_all_five_things(page: Runbook) -> None:
    text = (PAGES / f"{page}.md").read_text()
    assert re.findall(r"^## .*$", text, flags=re.MULTILINE) == HEADINGS


def test_every_page_is_of_a_runbook_and_in_the_index() -> None:
    names = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    indexed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (PAGES / "README.md").read_text()))
    assert names == indexed == {f"{page}.md" for page in Runbook}


def _tells() -> list[ast.Call]:
    tree = ast.parse(Path(router.__file__).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "_tell"]


def test_every_message_that_the_code_can_send_is_sent_with_a_page() -> None:
    pages = [ast.unparse(call.args[2]) for call in _tells()]
    assert pages
    assert "None" not in pages


@pytest.mark.parametrize("task", TASKS)
def test_every_task_of_upkeep_leads_to_a_page(task: str) -> None:
    assert of_task(task) in {*OF_TASK.values(), Runbook.UPKEEP_FAILED}


@pytest.mark.parametrize("task", ["reports", "reports_va_form526"])
def test_failed_reports_lead_to_their_page(task: str) -> None:
    assert of_task(task) is Runbook.REPORTS_BEHIND


def test_a_run_that_went_well_has_no_page() -> None:
    assert of_report(SUCCESS) is None


@pytest.mark.parametrize("report", [ATTENTION, FAILURE], ids=lambda report: report.outcome)
def test_a_run_that_did_not_go_well_has_a_page(report: object) -> None:
    assert of_report(report) is not None  # type: ignore[arg-type]  # of any kind


@pytest.mark.parametrize(
    ("status", "verdict", "page"),
    [
        (DumpStatus.FAILED, DumpVerdict.NEW, Runbook.FAILED_LOAD),
        (DumpStatus.REFUSED, DumpVerdict.HELD, Runbook.HELD_DUMP),
        (DumpStatus.REFUSED, DumpVerdict.UNREADABLE, Runbook.REFUSED_DUMP),
        (DumpStatus.SKIPPED, DumpVerdict.EMPTY, Runbook.REFUSED_DUMP),
        (DumpStatus.SKIPPED, DumpVerdict.UNKNOWN, Runbook.UNKNOWN_DUMP),
    ],
)
def test_the_page_is_that_of_what_became_of_the_dump(status: DumpStatus, verdict: DumpVerdict, page: Runbook) -> None:
    dump = replace(REFUSED, status=status, verdict=verdict)
    assert of_report(replace(ATTENTION, dumps=(LOADED, dump), failed_checks=())) is page


def test_a_usual_empty_dump_has_no_page() -> None:
    dump = replace(REFUSED, status=DumpStatus.SKIPPED, verdict=DumpVerdict.EMPTY, reason=NO_ROWS_AS_USUAL)
    assert of_dumps([LOADED, dump]) is None


SENT: dict[Runbook, Callable[[Alerts], object]] = {
    Runbook.FAILED_LOAD: lambda alerts: alerts.run_ended(FAILURE),
    Runbook.KILLED_RUN: lambda alerts: alerts.crashed(run_id="r", sender="indici", days=[DAY]),
    Runbook.MISSING_DUMP: lambda alerts: alerts.delivered(
        news=DeliveryNews.MISSING, deliveries=[ABSENT], sender="indici", timezone="UTC"
    ),
    Runbook.UNEXPECTED_DELIVERY: lambda alerts: alerts.delivered(
        news=DeliveryNews.LATE, deliveries=[TOO_LATE], sender="indici", timezone="UTC"
    ),
    Runbook.WAITING_DUMP: lambda alerts: alerts.waiting(day=DAY, waiting=[("a.csv", "no checksum")]),
    Runbook.BACKUP: lambda alerts: alerts.upkeep_failed(task="backup", error="no room", run_id="r"),
}


@pytest.mark.parametrize("page", SENT, ids=str)
def test_a_message_in_slack_links_its_page(page: Runbook, slack_api: SlackListener) -> None:
    SENT[page](Alerts(SlackSink("xoxb-test", "#c", base_url=slack_api.base_url), None, runbooks=BASE))
    (call,) = slack_api.calls
    footnotes = [block["elements"][0]["text"] for block in call.payload["blocks"] if block["type"] == "context"]
    assert f"runbook <{BASE}/{page}.md|{page}>" in footnotes


def test_without_a_url_the_page_is_named_by_its_path(slack_api: SlackListener) -> None:
    alerts = Alerts(SlackSink("xoxb-test", "#c", base_url=slack_api.base_url), None)
    SENT[Runbook.BACKUP](alerts)
    assert "`docs/runbooks/backup-failed.md`" in str(slack_api.calls[0].payload["blocks"])


def _commands() -> list[tuple[str, str]]:
    texts = {path.name: path.read_text() for path in sorted(PAGES.glob("*.md"))}
    found = [(name, line) for name, text in texts.items() for line in re.findall(r"claims-pipeline ([^#`\n]+)", text)]
    return [(name, re.sub(r"<[^>]*>|\"[^\"]*\"|\.\.\.", "", line).strip()) for name, line in found]


@pytest.mark.parametrize(("page", "line"), sorted(set(_commands())))
def test_a_command_of_a_page_exists_with_its_options(page: str, line: str) -> None:
    command: Any = typer.main.get_command(app)  # a group, by construction
    words = line.split()
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    assert not hasattr(command, "commands") or command.invoke_without_command
