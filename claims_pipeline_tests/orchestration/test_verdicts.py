"""Every verdict on a dump, through the sensor: drop, tick, run; what the ledger has, what is told, that it stays."""

from __future__ import annotations

import gzip

import dagster as dg
import pytest

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.landing import s3 as landing
from claims_pipeline.local.process import wait_until
from claims_pipeline.orchestration.sensors import arrivals_sensor
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_dagster import UPLOADS, CodeLocation, Configure, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_listeners import SlackListener

THREE = as_csv(upload_lines(3))
FOUR = as_csv(upload_lines(4))
NAME = upload_name()
LATER = upload_name(hour=6)


@pytest.fixture
def told(location: CodeLocation, configure: Configure, slack_api: SlackListener) -> SlackListener:
    """The channel that the code location tells."""
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    return slack_api


def tick(location: CodeLocation) -> list[dg.ExecuteInProcessResult]:
    """One tick of the arrivals sensor as the daemon makes it, and every run that it asks for."""
    sensor = arrivals_sensor(SENDER)
    with dg.build_sensor_context(instance=location.instance, resources={"pipeline": location.pipeline}) as context:
        data = sensor.evaluate_tick(context)
    return [location.run(request) for request in data.run_requests or ()]


def put_again(location: CodeLocation, name: str, body: bytes) -> None:
    """Deliver over an earlier object, at a moment that can be told from the earlier one's."""

    def modified() -> object:
        pages = landing.list_objects(location.s3, location.inbox, f"{SENDER.prefix}{name}")
        return [item.last_modified for page in pages for item in page]

    before = modified()

    def newer() -> bool:
        location.put(name, body)
        return modified() != before

    assert wait_until(newer, seconds=30)


def ledger_of(location: CodeLocation) -> list[tuple[DumpVerdict | None, DumpStatus]]:
    """Verdict and status of every dump, in the order of arrival."""
    return [(dump.verdict, dump.status) for dump in _by_arrival(location)]


def last(location: CodeLocation) -> Dump:
    """The dump that arrived last."""
    return _by_arrival(location)[-1]


def _by_arrival(location: CodeLocation) -> list[Dump]:
    return sorted(location.dumps(), key=lambda dump: dump.dump_id)


def is_remembered(location: CodeLocation, told: SlackListener) -> bool:
    """Whether another tick asks for nothing, tells nothing and changes nothing."""
    before = ledger_of(location), len(told.calls)
    return tick(location) == [] and (ledger_of(location), len(told.calls)) == before


# ---------------------------------------------------------------------------------------------- the eight verdicts


def test_new(location: CodeLocation, told: SlackListener) -> None:
    location.put(NAME, THREE)
    tick(location)
    assert ledger_of(location) == [(DumpVerdict.NEW, DumpStatus.LOADED)]
    assert "3 inserted" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_resent(location: CodeLocation, told: SlackListener) -> None:
    location.put(NAME, THREE)
    tick(location)
    put_again(location, NAME, THREE)
    tick(location)
    assert ledger_of(location)[1:] == [(DumpVerdict.RESENT, DumpStatus.SKIPPED)]
    assert location.live() == {UPLOADS: 3}
    assert "1 resent" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_superseding(location: CodeLocation, told: SlackListener) -> None:
    location.put(NAME, THREE)
    tick(location)
    put_again(location, NAME, FOUR)
    tick(location)
    assert ledger_of(location)[1:] == [(DumpVerdict.SUPERSEDING, DumpStatus.LOADED)]
    assert location.live() == {UPLOADS: 4}
    assert "1 superseding" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_duplicate(location: CodeLocation, told: SlackListener) -> None:
    location.put(NAME, THREE)
    tick(location)
    location.put(LATER, THREE)
    tick(location)
    assert ledger_of(location)[1:] == [(DumpVerdict.DUPLICATE, DumpStatus.SKIPPED)]
    assert location.live() == {UPLOADS: 3}
    assert "1 duplicate" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


@pytest.mark.parametrize("body", [b"", as_csv(upload_lines(0))], ids=["no byte", "no row"])
def test_empty(location: CodeLocation, told: SlackListener, body: bytes) -> None:
    location.put(NAME, body)
    tick(location)
    assert ledger_of(location) == [(DumpVerdict.EMPTY, DumpStatus.SKIPPED)]
    assert "skipped, empty" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_unreadable(location: CodeLocation, told: SlackListener) -> None:
    location.put(f"{NAME}.gz", gzip.compress(THREE)[:-12])
    tick(location)
    assert ledger_of(location) == [(DumpVerdict.UNREADABLE, DumpStatus.REFUSED)]
    assert "the gzip stream is cut off" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_unknown(location: CodeLocation, told: SlackListener) -> None:
    location.put("strange/export.csv", THREE)
    tick(location)
    assert ledger_of(location) == [(DumpVerdict.UNKNOWN, DumpStatus.SKIPPED)]
    assert "no contract knows this name" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_held(location: CodeLocation, told: SlackListener) -> None:
    spoilt = [f"canary,00000000-0000-4000-8000-{n:012},L015,x.pdf" for n in range(101, 203)]
    location.put(NAME, as_csv([*upload_lines(3), *spoilt]))
    tick(location)
    assert ledger_of(location) == [(DumpVerdict.HELD, DumpStatus.REFUSED)]
    assert location.live() == {}
    assert f"claims-pipeline approve {last(location).dump_id}" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


# ---------------------------------------------------------------------------------------------- uploads under way


def test_a_dump_is_asked_for_by_the_tick_that_finds_it_unchanged(
    location: CodeLocation, configure: Configure, told: SlackListener
) -> None:
    configure(settle_seconds=0.2)
    location.put(NAME, THREE)
    assert tick(location) == []
    assert wait_until(lambda: bool(tick(location)), seconds=30)
    assert ledger_of(location) == [(DumpVerdict.NEW, DumpStatus.LOADED)]


def test_half_a_gzip_is_loaded_when_the_sender_completes_it(location: CodeLocation, told: SlackListener) -> None:
    location.put(f"{NAME}.gz", gzip.compress(THREE)[:-12])
    tick(location)
    put_again(location, f"{NAME}.gz", gzip.compress(THREE))
    tick(location)
    assert last(location).status is DumpStatus.LOADED
    assert location.live() == {UPLOADS: 3}


def test_a_dump_with_a_wrong_checksum_is_refused_and_told(location: CodeLocation, told: SlackListener) -> None:
    location.put(NAME, THREE)
    location.put(f"{NAME}.sha256", b"0" * 64)
    tick(location)
    assert ledger_of(location) == [(DumpVerdict.UNREADABLE, DumpStatus.REFUSED)]
    assert "SHA-256" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_a_dump_that_is_gone_before_it_was_read_is_told_once(location: CodeLocation, told: SlackListener) -> None:
    location.put(NAME, THREE)
    location.look()
    location.take_back(f"{SENDER.prefix}{NAME}")
    assert tick(location) == []
    assert "was deleted from the inbox before it was read" in str(told.calls[-1].payload)
    assert is_remembered(location, told)


def test_a_dump_that_has_not_settled_is_not_taken_by_a_run_of_its_day(
    location: CodeLocation, configure: Configure, told: SlackListener
) -> None:
    location.put(NAME, THREE)
    (request,) = location.look()
    configure(settle_seconds=3600)
    location.put(LATER, FOUR)
    location.look()
    location.run(request)
    assert ledger_of(location) == [(DumpVerdict.NEW, DumpStatus.LOADED), (None, DumpStatus.ARRIVED)]
