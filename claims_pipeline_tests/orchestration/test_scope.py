"""Several code locations: every sender in one of them, and what there is once in the main one alone."""

from __future__ import annotations

import runpy
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from claims_pipeline import definitions
from claims_pipeline.definitions import build_definitions
from claims_pipeline.errors import SettingsError
from claims_pipeline.orchestration.scope import Scope, everything, scope_of
from claims_pipeline.settings import Settings


@dataclass(frozen=True)
class Found:
    """What a code location holds, by name."""

    assets: frozenset[str]
    ticking: frozenset[str]
    jobs: frozenset[str]


def found_with(**settings: str) -> Found:
    """What a code location with these settings holds, all its jobs loaded."""
    return found_in(build_definitions(scope=scope(**settings)).get_repository_def())


def found_in(repository: dg.RepositoryDefinition) -> Found:
    return Found(
        assets=frozenset(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
        ticking=frozenset(one.name for one in repository.sensor_defs)
        | frozenset(one.name for one in repository.schedule_defs),
        jobs=frozenset(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
    )


def scope(*, senders: str = "", senders_elsewhere: str = "") -> Scope:
    return scope_of(Settings(senders=senders, senders_elsewhere=senders_elsewhere))


@pytest.fixture(scope="module")
def whole() -> Found:
    return found_in(build_definitions().get_repository_def())


@pytest.fixture(scope="module")
def parts() -> list[Found]:
    """The main location, and one beside it."""
    return [found_with(senders_elsewhere="indici"), found_with(senders="indici")]


def test_without_settings_a_location_holds_everything() -> None:
    assert scope() == everything()


def test_two_locations_hold_every_asset_once(whole: Found, parts: list[Found]) -> None:
    assert Counter(asset for part in parts for asset in part.assets) == Counter(whole.assets)


def test_two_locations_tick_as_one_does_and_nothing_twice_but_what_is_of_each(whole: Found, parts: list[Found]) -> None:
    ticking = Counter(name for part in parts for name in part.ticking)
    assert set(ticking) == whole.ticking
    assert {name for name, count in ticking.items() if count > 1} == {"killed_runs", "reports"}


def test_the_jobs_that_people_launch_are_in_the_main_location(whole: Found, parts: list[Found]) -> None:
    assert [part.jobs for part in parts] == [whole.jobs, frozenset()]


def test_a_location_of_one_sender_looks_at_that_sender_alone(parts: list[Found]) -> None:
    assert parts[1].ticking == {"arrivals_indici", "missing_indici", "reports", "killed_runs"}


def test_a_main_location_without_senders_does_the_upkeep() -> None:
    main = found_with(senders_elsewhere="indici,va_form526")
    assert {name.split("/")[0] for name in main.assets} == {"ops"}
    assert main.ticking >= {"backup", "prune", "audit", "heartbeat", "unwatched"}


def test_a_sender_that_no_setting_names_is_with_the_main_location() -> None:
    assert [sender.name for sender in scope(senders_elsewhere="indici").senders] == ["va_form526"]


def test_spaces_around_names_do_not_matter() -> None:
    assert scope(senders=" indici , va_form526 ").senders == everything().senders


@pytest.mark.parametrize("setting", ["senders", "senders_elsewhere"])
@pytest.mark.parametrize("names", ["indicy", "indici,", ","])
def test_a_name_that_is_no_sender_is_refused_and_the_senders_are_told(setting: str, names: str) -> None:
    with pytest.raises(SettingsError, match=f"CLAIMS_{setting.upper()} names no sender.*known: indici, va_form526"):
        scope(**{setting: names})


def test_both_settings_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match="both set"):
        scope(senders="indici", senders_elsewhere="va_form526")


def test_dagster_loads_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.setenv("CLAIMS_SENDERS", "indici")
    defs: dg.Definitions = runpy.run_path(definitions.__file__)["defs"]
    assert {sensor.name for sensor in defs.get_repository_def().sensor_defs} == {
        "arrivals_indici",
        "killed_runs",
        "reports",
    }
