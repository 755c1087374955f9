"""The search is worth something: a leak that is planted in a place is found there, in whatever spelling.

Each leak is made by the test's own means, in the way in which a careless change would make it, and has a canary of its
own, so that one leak cannot pass for another.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import dagster as dg
import psycopg
import pyarrow
import pytest

from claims_pipeline import catching_up, checks
from claims_pipeline.alerts import datadog
from claims_pipeline.alerts.messages import runs
from claims_pipeline.flow import Flow, observed
from claims_pipeline.frames import treat
from claims_pipeline.frames.rejects import Rejects
from claims_pipeline.orchestration import describe
from claims_pipeline_tests.canary.breaking import UPLOADS
from claims_pipeline_tests.canary.dumps import dumps_of, later
from claims_pipeline_tests.canary.needles import search
from claims_pipeline_tests.canary.places import PLACES, process
from claims_pipeline_tests.canary.scene import Scene
from claims_pipeline_tests.canary.values import HIDDEN, STEMS, Stem

OTHER = replace(HIDDEN, name="planted", text="Pzqxcanary")
"""For the server's log, which all tests of a session share: a class that no other test looks for."""

Leak = Callable[[str], str]
"""Name of a leak -> the value that leaks."""


@pytest.fixture(scope="module")
def leaky(stage: Scene) -> Iterator[Scene]:
    """A scene in which a run, a command and the test itself have leaked."""

    def value(name: str) -> str:
        return stage.planted.text(UPLOADS, "file_name", name, HIDDEN)

    stage.deliver(*dumps_of(UPLOADS, stage.planted))
    with pytest.MonkeyPatch.context() as patch:
        _careless(patch, value)
        stage.run([UPLOADS])
    with pytest.MonkeyPatch.context() as patch:
        _crashing(patch, value)
        stage.deliver(later(UPLOADS, stage.planted, hour=5))
        stage.call("catch-up")
    _left_behind(stage, value)
    _shown_to_all(stage, value("argument"))
    with psycopg.connect(stage.database_url, autocommit=True, options="-c log_statement=none") as busy:
        busy.execute(f"select '{value('statement')}'".encode())
        yield stage


def _careless(patch: pytest.MonkeyPatch, value: Leak) -> None:
    """Changes to the product as somebody could make them, for a run."""
    budget, stages, headline, tags = (
        checks.rejects_within_budget, describe.stages_table, runs.run_headline, datadog._feed_tags,
    )  # fmt: skip
    validate, add, figures, reads = Flow.validate, Rejects.add, observed.figures, observed._reads

    def logged(self: Flow, *arguments: Any) -> Any:
        logging.getLogger("claims_pipeline.some.module").debug("row %s", value("log line"))
        sys.stdout.write(value("print") + "\n")
        return validate(self, *arguments)

    def ruled(self: Rejects, number: int, line: int | None, columns: list[str], rules: list[str], *rest: Any) -> None:
        add(self, number, line, columns, [*rules, value("rule")], *rest)

    patch.setattr(
        checks, "rejects_within_budget", lambda *a, **k: replace(budget(*a, **k), summary=value("check's summary"))
    )
    patch.setattr(describe, "stages_table", lambda dumps: (stages(dumps), dg.MetadataValue.text(value("metadata")))[1])
    patch.setattr(runs, "run_headline", lambda *a, **k: headline(*a, **k) + value("headline"))
    patch.setattr(datadog, "_feed_tags", lambda feed: {**tags(feed), "dataset": value("tag")})
    patch.setattr(observed, "figures", lambda *a: {**figures(*a), "reason": value("attribute")})
    patch.setattr(observed, "_reads", lambda *a: [replace(one, name=value("dataset")) for one in reads(*a)])
    patch.setattr(treat, "_extensions", lambda values: values)  # kept in place of reduced
    patch.setattr(Flow, "validate", logged)
    patch.setattr(Rejects, "add", ruled)


def _crashing(patch: pytest.MonkeyPatch, value: Leak) -> None:
    """A command whose error is shown with its text."""

    def broken(*_: Any) -> Any:
        raise ValueError(value("error"))

    patch.setattr(Flow, "validate", broken)
    patch.setattr(catching_up, "safe_text", str)


def _shown_to_all(scene: Scene, value: str) -> None:
    """A process with a value among its arguments."""
    command = [sys.executable, "-c", "print(flush=True); input()", value]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()  # from now on its arguments are its own
    scene.seen += [("process", name, content) for name, content in process(child.pid)]
    child.communicate(b"\n")


def _left_behind(scene: Scene, value: Leak) -> None:
    """What lies about when the run is over."""
    (scene.temporary / "tmp4711").write_text(value("temporary file"))
    (scene.folder / "state" / "kept").write_text(value("state"))
    scene.s3.put_object(Bucket=scene.archive, Key=f"raw/{value('object name')}.note.json", Body=value("note").encode())
    with scene.database() as connection:
        connection.execute(
            "insert into ops.withheld (sender, dataset, values) values ('s', '', array[%s])", [value("register")]
        )
        connection.execute(f"comment on table ops.dump is '{value('comment')}'".encode())
        connection.execute(f"set log_min_messages = log; do $$ begin raise log '{OTHER.text}'; end $$".encode())


LEAKS = {
    "log line": "log records",
    "error": "output of commands and runs",
    "metadata": "files of the Dagster instance",
    "check's summary": "Dagster's events",
    "print": "compute logs",
    "headline": "Slack messages",
    "tag": "Datadog packets",
    "attribute": "spans",
    "dataset": "lineage events",
    "rule": "ops and bi schemas",
    "sound 0": "tables",
    "register": "the register of erased persons",
    "comment": "statistics of the planner",
    "statement": "running statements",
    "sound 1": "a dump of the database",
    "sound 2": "validated frames",
    "note": "notes in the archive",
    "object name": "names and metadata of objects",
    "temporary file": "temporary files",
    "state": "the state folder",
    "argument": "processes",
}
"""The place in which each leak is to be found."""


@pytest.mark.parametrize(("leak", "place"), LEAKS.items())
def test_a_leak_is_found(leaky: Scene, leak: str, place: str) -> None:
    hits = search(PLACES[place](leaky), [HIDDEN], leaky.planted)
    assert f"{UPLOADS.name} file_name, row {leak}" in {hit.canary for hit in hits}


@pytest.mark.parametrize("place", ["rejects", "a dump of the ops schema"])
def test_what_leaks_into_the_rejects_is_found_everywhere_they_go(leaky: Scene, place: str) -> None:
    hits = search(PLACES[place](leaky), [HIDDEN], leaky.planted)
    assert f"{UPLOADS.name} file_name, row rule" in {hit.canary for hit in hits}


def test_a_leak_into_the_servers_log_is_found(leaky: Scene) -> None:
    assert search(PLACES["the server's log"](leaky), [OTHER])


def test_a_leak_is_planted_in_every_place() -> None:
    assert {*LEAKS.values(), "rejects", "a dump of the ops schema", "the server's log"} == set(PLACES)


# ---------------------------------------------------------------------------------------------- spellings


def moment(stem: Stem) -> dt.datetime:
    """The time stamp of a class, in UTC."""
    return dt.datetime.fromisoformat(f"{stem.hour}{stem.clock}+00:00")


def number(stem: Stem) -> int:
    """A number of a class."""
    return int(f"{stem.digits}0000042")


SPELLINGS: dict[str, Callable[[Stem], bytes]] = {
    "text": lambda s: s.text.encode(),
    "upper case": lambda s: s.text.upper().encode(),
    "JSON": lambda s: json.dumps({"name": f"é{s.text}"}).encode(),
    "repr": lambda s: repr({"name": s.text}).encode(),
    "URL": lambda s: urllib.parse.quote(f"ä {s.text} ü").encode(),
    "%-escapes": lambda s: "".join(f"%{b:02X}" for b in s.text.encode()).encode(),
    "hexadecimal": lambda s: f"a{s.text}".encode().hex().encode(),
    "bytea": lambda s: f"\\x{s.digits.encode().hex()}".encode(),
    "base64": lambda s: base64.b64encode(f"{s.text}1".encode()),
    "base64, one further": lambda s: base64.b64encode(f"a{s.text}1".encode()),
    "base64, two further": lambda s: base64.urlsafe_b64encode(f"ab{s.text}1".encode()),
    "UTF-16": lambda s: f"a {s.text}".encode("utf-16"),
    "UTF-16, big-endian": lambda s: f"a {s.text}".encode("utf-16-be"),
    "number": lambda s: str(number(s)).encode(),
    "thousands": lambda s: f"{number(s):,}".encode(),
    "thousands of ten digits": lambda s: f"{int(s.digits) * 10:,}".encode(),
    "thousands of eleven digits": lambda s: f"{int(s.digits) * 100:_}".encode(),
    "float": lambda s: repr(float(number(s) * 1000)).encode(),
    "SQL": lambda s: f"E'{s.text}'::text".encode(),
    "UUID": lambda s: f"{s.guid}-00000000002a".encode(),
    "UUID as a number": lambda s: f"{s.guid}-00000000002a".replace("-", "").upper().encode(),
    "date": lambda s: s.day.encode(),
    "date, American": lambda s: dt.date.fromisoformat(s.day).strftime("%m/%d/%Y").encode(),
    "date, repr": lambda s: repr(dt.date.fromisoformat(s.day)).encode(),
    "date, in words": lambda s: dt.date.fromisoformat(s.day).strftime("%B %d, %Y").replace(" 0", " ").encode(),
    "time": lambda s: moment(s).isoformat().encode(),
    "time, repr": lambda s: repr(moment(s)).encode(),
    "time in Auckland": lambda s: str(moment(s).astimezone(dt.timezone(dt.timedelta(hours=12)))).encode(),
    "epoch": lambda s: str(moment(s).timestamp()).encode(),
    "epoch in microseconds": lambda s: str(pyarrow.scalar(moment(s), pyarrow.timestamp("us", "UTC")).value).encode(),
}


@pytest.mark.parametrize("stem", STEMS, ids=lambda stem: stem.name)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_value_is_found_in_whatever_spelling(spelling: str, stem: Stem) -> None:
    assert search([("somewhere", SPELLINGS[spelling](stem))], [stem])


def test_values_of_another_class_are_not_taken_for_one() -> None:
    kept, hidden = STEMS
    everything = b"\n".join(spell(kept) for spell in SPELLINGS.values())
    assert search([("somewhere", everything)], [hidden]) == []
