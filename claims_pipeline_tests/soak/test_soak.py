"""A short soak: a kill at every named point, every kind of fault; and it notices what is lost or doubled."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from claims_pipeline.failpoints import POINTS
from claims_pipeline_tests.soak import defects
from claims_pipeline_tests.soak.arena import Arena, Stage, ended
from claims_pipeline_tests.soak.content import content
from claims_pipeline_tests.soak.faults import KINDS, KillAt, Revenant, draw
from claims_pipeline_tests.soak.rounds import Round, Soak, draw_round
from claims_pipeline_tests.soak.worlds import troubles_of, world

_WORLDS = (2, 3)
_POINTS = list(zip(POINTS[:8], POINTS[8:], strict=True))
"""Pairs of points, one for each step of a world; what only happens out of order is in the second step."""

_KINDS = list(zip(KINDS[0::2], (*KINDS[1::2], "sleeper"), strict=True))


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    arena = Arena(tmp_path_factory.mktemp("soak"))
    yield arena
    arena.close()


@pytest.fixture(scope="module")
def soak(arena: Arena) -> Soak:
    return Soak(arena)


def killed_at(number: int) -> Round:
    first, second = _POINTS[number]
    return Round(number, _WORLDS[number % 2], ((KillAt(first),), (KillAt(second),)))


@pytest.mark.parametrize("number", range(len(_POINTS)), ids=["+".join(pair) for pair in _POINTS])
def test_kills_at_two_points_lose_and_double_nothing(soak: Soak, number: int) -> None:
    outcome = soak.play(killed_at(number))
    assert (outcome.failures, outcome.hits) == ((), (True, True))


@pytest.mark.parametrize("number", range(len(_KINDS)), ids=["+".join(pair) for pair in _KINDS])
def test_faults_of_two_kinds_lose_and_double_nothing(soak: Soak, number: int) -> None:
    dice = random.Random(number)
    first, second = (draw(dice, kind) for kind in _KINDS[number])
    assert soak.play(Round(number, _WORLDS[number % 2], ((first,), (second,)))).failures == ()


def test_a_kill_while_the_system_recovers_from_a_kill_loses_and_doubles_nothing(soak: Soak) -> None:
    outcome = soak.play(Round(0, _WORLDS[0], ((KillAt("load.merged"), KillAt("load.audited")), ())))
    assert (outcome.failures, outcome.hits) == ((), (True, True))


def test_a_killed_run_is_made_good_by_the_next_tick(soak: Soak) -> None:
    assert soak.play(Round(0, _WORLDS[0], ((KillAt("load.merged"),), ()))).ticks == 1


@pytest.mark.parametrize("point", ["archive.copied", "validate.settled"])
def test_a_process_that_wakes_up_days_later_changes_nothing(soak: Soak, point: str) -> None:
    """What it knew has been superseded since, under the same name."""
    outcome = soak.play(Round(0, _WORLDS[0], ((Revenant(point),), ())))
    assert (outcome.failures, outcome.hits) == ((), (True,))


def test_every_point_is_among_these_rounds() -> None:
    assert {point for pair in _POINTS for point in pair} == set(POINTS)


def test_the_worlds_of_these_rounds_hold_late_and_superseding_dumps() -> None:
    assert {"late", "superseding"} <= {trouble for number in _WORLDS for trouble in troubles_of(number)}


def test_a_round_follows_from_its_seed_and_number() -> None:
    assert [draw_round(1, number) for number in range(60)] == [draw_round(1, number) for number in range(60)]


# ---------------------------------------------------------------------------------------------- it can fail


def test_the_soak_notices_lost_rows(arena: Arena) -> None:
    careless = Soak(arena, plant=defects.settles_before_the_commit)
    outcome = careless.play(Round(0, _WORLDS[0], ((KillAt("load.merged"),), ())))
    assert any(failure.startswith("va_form526.") and ": 0 lost" not in failure for failure in outcome.failures)


def test_the_soak_notices_a_doubled_load(arena: Arena) -> None:
    careless = Soak(arena, plant=defects.audits_before_the_commit)
    outcome = careless.play(Round(0, _WORLDS[0], ((KillAt("load.merged"),), ())))
    assert any(failure.startswith("audit: 0 lost, 1 too many") for failure in outcome.failures)


@pytest.fixture(scope="module")
def again(arena: Arena) -> Iterator[Stage]:
    """A world played undisturbed once more."""
    played = world(_WORLDS[1])
    with arena.stage(played.sender) as stage:
        for step in played.steps:
            stage.deliver(step)
            ended(stage.start())
        yield stage


_PLANTED = {
    "a lost row": ("indici.invoices", "delete from {0} where ctid in (select ctid from {0} limit 1)"),
    "a changed row": ("indici.invoices", "update {} set _row_number = _row_number + 1000"),
    "a doubled row of history": (
        "history.indici__invoice_details",
        "insert into {0} select * from {0} limit 1",
    ),
    "a lost row of the quarantine": ("quarantine", "delete from ops.quarantine"),
    "a dump that is open again": ("ledger", "update ops.dump set status = 'archived' where in_effect"),
}


def test_a_world_played_twice_is_the_same(soak: Soak, again: Stage) -> None:
    found, missing = again.content()
    assert found.differences(soak.undisturbed(_WORLDS[1])[0], same_order=True) + missing == []


@pytest.mark.parametrize("planted", _PLANTED)
def test_the_comparison_notices(soak: Soak, again: Stage, planted: str) -> None:
    part, query = _PLANTED[planted]
    with again.database() as connection, connection.transaction(force_rollback=True):
        connection.execute(query.format(part).encode())
        found = content(connection).differences(soak.undisturbed(_WORLDS[1])[0], same_order=True)
    assert [line.partition(":")[0] for line in found if not line.startswith(" ")] == [part]
