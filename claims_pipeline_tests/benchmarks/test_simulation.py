"""The simulation keeps its own rules, and says of measured cases nearly what was measured."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import defaultdict
from dataclasses import replace

import pytest
import yaml

from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline_tests.benchmarks import simulate, validation
from claims_pipeline_tests.benchmarks.capacity import (
    KINDS,
    Cluster,
    Deliveries,
    Kind,
    Measured,
    Prices,
    pod_seconds,
    start_seconds,
    tick_interval,
)
from claims_pipeline_tests.benchmarks.simulation import Postgres, Run, Simulation, requests_of
from claims_pipeline_tests.benchmarks.simulation import simulate as simulated

CROWD = Deliveries(feeds=400, rows=100_000, window_hours=0, jitter_minutes=5)
"""Forty senders at the same hour: pods, pools and Postgres are all waited for."""

SMALL = Cluster(pods=8, postgres_cores=2)
ALONE = Kind(load_us=10, cpu_us=10, wal_bytes=0, kept=1)
"""Of which one session takes all of one core."""


@pytest.fixture(scope="module")
def crowd() -> Simulation:
    """A simulation that has ended."""
    simulation = Simulation(CROWD, SMALL, Measured())
    simulation.run()
    return simulation


@pytest.mark.parametrize("feeds", [1, 9, 10, 11, 1_000])
def test_every_dump_that_arrives_is_loaded(feeds: int) -> None:
    outcome = simulated(Deliveries(feeds=feeds, days=2))
    assert outcome.loaded == outcome.dumps == feeds * 2


def test_rows_are_those_that_arrived(crowd: Simulation) -> None:
    arrived = requests_of(CROWD, 15, 5)
    assert sum(run.rows for run in crowd.runs) == pytest.approx(sum(run.rows for run in arrived))


def test_the_same_seed_gives_the_same_outcome() -> None:
    assert simulated(CROWD, SMALL) == simulated(CROWD, SMALL)


def test_another_seed_gives_another_outcome() -> None:
    assert simulated(CROWD, SMALL) != simulated(replace(CROWD, seed=1), SMALL)


def test_no_run_is_launched_before_it_is_asked_for(crowd: Simulation) -> None:
    assert [run for run in crowd.runs if not max(run.arrivals) < run.requested < run.launched < run.ended] == []


def test_no_more_runs_are_at_once_than_there_are_pods(crowd: Simulation) -> None:
    changes = sorted([(run.launched, 1) for run in crowd.runs] + [(run.ended, -1) for run in crowd.runs])
    at_once = [sum(change for _, change in changes[: number + 1]) for number in range(len(changes))]
    assert max(at_once) == SMALL.pods


def test_runs_of_one_sender_follow_each_other(crowd: Simulation) -> None:
    of_sender: defaultdict[int, list[Run]] = defaultdict(list)
    for run in sorted(crowd.runs, key=lambda run: run.launched):
        of_sender[run.sender].append(run)
    pairs = [(one, two) for runs in of_sender.values() for one, two in itertools.pairwise(runs)]
    assert pairs
    assert [pair for pair in pairs if pair[1].launched < pair[0].ended] == []


def test_more_pods_are_no_slower_where_postgres_keeps_up() -> None:
    roomy = replace(SMALL, postgres_cores=16, postgres_wal_mb=1_000)
    spent = [simulated(CROWD, replace(roomy, pods=pods)).p95 for pods in (1, 2, 4, 8, 16)]
    assert spent == sorted(spent, reverse=True)


def test_more_of_postgres_is_no_slower() -> None:
    spent = [simulated(CROWD, replace(SMALL, postgres_wal_mb=mb)).p95 for mb in (50, 100, 200, 400)]
    assert spent == sorted(spent, reverse=True)


def test_more_rows_are_no_faster() -> None:
    spent = [simulated(replace(CROWD, rows=rows), SMALL).p95 for rows in (1e3, 1e4, 1e5, 1e6)]
    assert spent == sorted(spent)


def test_connections_limit_runs_as_pods_do() -> None:
    few = replace(SMALL, postgres_connections=13, reserved_connections=10)
    assert simulated(CROWD, few).peak_runs == 3


def test_a_dump_alone_takes_its_ticks_its_start_and_its_work() -> None:
    cluster = Cluster(launch_seconds=0, dequeue_seconds=0, pod_start_seconds=10)
    outcome = simulated(Deliveries(feeds=1, rows=1_000_000, spread=0, kind="new"), cluster)
    work = 10 + 2.7 + 0.10 + 0.45 + 13.6 + 5.1
    assert 15 + work <= outcome.longest <= 30 + work


def test_two_loads_on_one_core_take_as_long_as_both_after_each_other() -> None:
    assert _ends(Cluster(postgres_cores=1), [0, 0], [10, 10]) == pytest.approx([20, 20])


def test_two_loads_on_two_cores_take_as_long_as_one() -> None:
    assert _ends(Cluster(postgres_cores=2), [0, 0], [10, 10]) == pytest.approx([10, 10])


def test_a_load_that_comes_later_shares_only_what_is_left() -> None:
    # The first is alone for 5 s; both share until it ends at 15 s; the second then has 5 s left for itself.
    assert _ends(Cluster(postgres_cores=1), [0, 5], [10, 10]) == pytest.approx([15, 20])


def test_the_write_ahead_log_limits_loads_as_cores_do() -> None:
    kind = replace(ALONE, wal_bytes=1_000)  # 100 MB a second and session
    assert _ends(Cluster(postgres_cores=8, postgres_wal_mb=50), [0], [10], kind) == pytest.approx([20])


def test_cpu_of_postgres_is_that_of_all_rows(crowd: Simulation) -> None:
    outcome = simulated(CROWD, SMALL)
    spent = outcome.rows * KINDS[CROWD.kind].cpu_us / 1e6
    assert outcome.postgres_busy * SMALL.postgres_cores * 86_400 == pytest.approx(spent)


def test_sensors_of_many_senders_wait_for_each_other_unless_threads_and_locations_are_many() -> None:
    assert tick_interval(Measured(), Cluster(sensor_threads=1, locations=8), senders=1_000) == pytest.approx(80)
    assert tick_interval(Measured(), Cluster(sensor_threads=8), senders=1_000) == pytest.approx(80)
    assert tick_interval(Measured(), Cluster(sensor_threads=8, locations=8), senders=1_000) == 15


def test_contracts_of_other_locations_cost_less_than_ones_own_and_those_of_other_images_nothing() -> None:
    def start(feeds: int, **spread: int) -> float:
        return start_seconds(Measured(), Cluster(pod_start_seconds=0, **spread), feeds)

    assert start(1_000) == pytest.approx(2.7 + 982 * 0.021)
    assert start(1_000, locations=10) == pytest.approx(2.7 + 982 * 0.006 + 82 * 0.015)
    assert start(1_000, locations=10, images=10) == pytest.approx(start(100))


def test_a_pod_of_one_core_takes_the_cpu_of_its_rows_and_two_what_was_measured() -> None:
    seconds = [pod_seconds(Measured(), dumps=0, rows=1e6, vcpu=vcpu) for vcpu in (1, 2, 4)]
    assert seconds == pytest.approx([13.6, 8.8, 8.8])


def test_the_cluster_is_by_default_the_one_that_is_deployed() -> None:
    values = yaml.safe_load((PROJECT_ROOT / "deploy" / "kubernetes" / "values.yaml").read_text())
    concurrency, daemon = values["concurrency"], values["dagsterDaemon"]
    assert concurrency["runs"]["maxConcurrentRuns"] == Cluster.pods
    assert concurrency["pools"]["defaultLimit"] == Cluster.runs_per_sender
    assert daemon["sensors"] == {"useThreads": True, "numWorkers": Cluster.sensor_threads}
    assert values["runLauncher"]["config"]["k8sRunLauncher"]["resources"]["requests"]["cpu"] == str(Cluster.pod_vcpu)


def test_what_takes_more_than_a_day_is_said_to_fall_behind(capsys: pytest.CaptureFixture[str]) -> None:
    simulate.main(["--feeds", "10,3000", "--pods", "1"])
    assert "falls behind from day to day: 3,000 feeds (locations: 1, pods: 1)." in capsys.readouterr().out


@pytest.mark.parametrize(("rows", "told"), [("1e5", False), ("1e6", True)])
def test_what_one_server_cannot_hold_for_a_year_is_said(
    rows: str, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate.main(["--feeds", "1000", "--rows", rows])
    assert ("A year of it is more than RDS holds" in capsys.readouterr().out) is told


def test_the_fewest_pods_keep_the_goal_and_one_fewer_does_not() -> None:
    light = replace(CROWD, kind="new", rows=10_000)
    pods = simulate.fewest_pods(light, SMALL, Measured(), seconds=300)
    assert pods is not None
    assert pods > 1
    assert simulated(light, replace(SMALL, pods=pods)).p95 <= 300
    assert simulated(light, replace(SMALL, pods=pods - 1)).p95 > 300


def test_no_number_of_pods_keeps_a_goal_below_the_start_of_a_run() -> None:
    assert simulate.fewest_pods(CROWD, SMALL, Measured(), seconds=5) is None


def test_what_costs_nothing_costs_nothing() -> None:
    free = Prices(**{field.name: 0.0 for field in dataclasses.fields(Prices)})
    assert simulate.case_of(CROWD, SMALL, Measured(), free).bill.month == 0


def test_twice_the_days_make_the_same_month() -> None:
    one, two = (
        simulate.case_of(replace(CROWD, days=days, spread=0), SMALL, Measured(), Prices()).bill for days in (1, 2)
    )
    assert two.month == pytest.approx(one.month, rel=0.02)


@pytest.mark.parametrize("rows", ["100,000", "500,000", "1,000,000", "5,000,000", "20,000,000"])
def test_first_loads_of_25_columns_are_predicted_within_15_percent(rows: str) -> None:
    (case,) = (case for case in validation.beside() if case.case == f"first load, {rows} rows")
    assert not case.is_input
    assert abs(case.off) < 0.15


def test_every_option_is_explained() -> None:
    groups = (Deliveries, Cluster, Measured, Prices)
    unexplained = [
        field.name
        for group in groups
        for field in dataclasses.fields(group)
        if field.name not in simulate.meanings_of(group)
    ]
    assert unexplained == []


def test_the_command_writes_a_json_line_for_each_case(capsys: pytest.CaptureFixture[str]) -> None:
    simulate.main(["--feeds", "1,20", "--pods", "1,2", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["deliveries"]["feeds"], line["cluster"]["pods"]) for line in lines] == [
        (1, 1),
        (1, 2),
        (20, 1),
        (20, 2),
    ]


@pytest.mark.parametrize("words", ["--feeds 0", "--feeds many", "--pods -1", "--kind wide"])
def test_the_command_refuses_what_is_no_number_of_things(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        simulate.main(words.split())
    assert words.split()[0] in capsys.readouterr().err


def test_a_price_on_the_command_line_is_that_of_the_bill(capsys: pytest.CaptureFixture[str]) -> None:
    simulate.main(["--feeds", "10", "--json", "--cluster-hour", "0"])
    simulate.main(["--feeds", "10", "--json", "--cluster-hour", "1"])
    without, dearer = (json.loads(line)["dollars_a_month"] for line in capsys.readouterr().out.splitlines())
    assert dearer["standing"] - without["standing"] == pytest.approx(30.4 * 24)


@pytest.mark.parametrize(
    "words",
    ["", "--check", "--feeds 1000,10000 --locations 10,50 --pods 50"],
    ids=["one location", "check", "more locations"],
)
def test_the_page_shows_what_the_simulation_says(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    simulate.main(words.split())
    assert capsys.readouterr().out.strip() in (PROJECT_ROOT / "docs" / "scale.md").read_text()


def _ends(cluster: Cluster, begins: list[float], works: list[float], kind: Kind = ALONE) -> list[float]:
    """When loads end, in order, that begin at these times with so many seconds of work each."""
    server = Postgres(kind, cluster)
    waiting, ends = list(zip(begins, works, strict=True)), []
    while True:
        upcoming = server.next_end()
        if waiting and (upcoming is None or waiting[0][0] < upcoming):
            begin, work = waiting.pop(0)
            server.advance(begin)
            server.begin(Run(0, [begin], 1.0, begin), work)
        elif upcoming is not None:
            server.advance(upcoming)
            server.end()
            ends.append(upcoming)
        else:
            return ends
