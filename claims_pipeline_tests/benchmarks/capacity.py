"""What one dump and one run cost, and what resources cost: the inputs of the simulation, each with its source.

Belongs here: measured figures, prices, sizes of a cluster, arithmetic on one dump. Does not belong here: what many
dumps do to each other (simulation.py), the command line (simulate.py).
"""

from __future__ import annotations

from dataclasses import dataclass

MILLION = 1_000_000
GB = 1_000_000_000


@dataclass(frozen=True)
class Kind:
    """What a row of one kind of dump asks of Postgres.

    Attributes:
        load_us: microseconds of one session, at least, alone on the server.
        cpu_us: microseconds of the server's CPU in them.
        wal_bytes: bytes of write-ahead log.
    """

    load_us: float
    cpu_us: float
    wal_bytes: float
    kept: float


KINDS = {
    "new": Kind(load_us=5.1, cpu_us=4.8, wal_bytes=450, kept=1),
    "delta": Kind(load_us=29.0, cpu_us=13.8, wal_bytes=4_825, kept=1),
    "unchanged": Kind(load_us=4.5, cpu_us=3.4, wal_bytes=0, kept=0),
}
"""Of docs/performance.md and docs/postgres.md. New: 150.6 s for 29.3 M rows, 2.4 CPU s for 0.5 M, 135 MB of WAL for
0.3 M. Delta, half updates that lie on pages of their own: 29 us beside a table of 10 M rows, 6.9 CPU s for 0.5 M, 2.3
GB of WAL for 0.25 M updates. Unchanged: 1.7 CPU s for 0.5 M; its time in the session is estimated."""


@dataclass(frozen=True)
class Measured:
    """What was measured on two cores on 2026-11-22 (docs/performance.md), unless a line says otherwise.

    Attributes:
        run_start_seconds: of a run's process until its first step: from the tick to the first row of ten, less the
            tick and the dump.
        dump_seconds: of each dump besides its rows: a backlog of 5,000 files, in one process.
        dataset_seconds: of each dataset of a run besides: three steps of Dagster with their events. one_day.py: 0.55
            CPU s a dataset, less those of the dump.
        row_us: microseconds of a row in archive and validation, on two cores that S3 and Postgres share: 257.6 s for
            29.3 M rows.
        row_cpu_us: microseconds of the process' own CPU for a row, the load's share included: 6.8 CPU s for 0.5 M. A
            pod of one core takes that long.
        tick_seconds: of a tick that finds nothing.
        contract_seconds: CPU that a further feed of the image costs each run and code server, whichever senders its
            code location has: its contract is imported (many_feeds.py with CLAIMS_SENDERS).
        contract_mb: the same in memory.
        feed_cpu_seconds: CPU that a further feed of the code location costs besides: assets, sensors, their resolution
            (many_feeds.py without).
        feed_mb: the same in memory.
        project_feeds: feeds of the code location of which `run_start_seconds` was measured.
        event_bytes: of Dagster's event log for each dataset of a run of one day (one_day.py).
        raw_bytes: of a row as delivered, CSV.
        parquet_bytes: of a row as validated.
        stored_bytes: of a row in its table with its index: 443 MB for 1 M.
        s3_calls: of a dump, at most, of which a test holds.
    """

    run_start_seconds: float = 2.7
    dump_seconds: float = 0.10
    dataset_seconds: float = 0.45
    row_us: float = 8.8
    row_cpu_us: float = 13.6
    tick_seconds: float = 0.08
    contract_seconds: float = 0.006
    contract_mb: float = 0.09
    feed_cpu_seconds: float = 0.015
    feed_mb: float = 0.14
    project_feeds: int = 18
    event_bytes: float = 81_000
    raw_bytes: float = 340
    parquet_bytes: float = 107
    stored_bytes: float = 443
    s3_calls: float = 12


@dataclass(frozen=True)
class Prices:
    """US dollars: AWS list prices of us-east-1 without discounts, assumptions of 2026-11-22; docs/scale.md says whence.

    Attributes:
        vcpu_hour: a pod's vCPU, Fargate; an hour.
        gb_hour: a pod's memory, Fargate; a GB for an hour.
        postgres_vcpu_hour: RDS for PostgreSQL, memory-optimised, one zone; a vCPU for an hour.
        postgres_zones: 2 for a standby in another zone.
        postgres_gb_month: gp3 storage of RDS.
        s3_gb_month: S3 Standard.
        s3_call: PUT or LIST; GET costs a twelfth, and is counted as the same.
        cluster_hour: an EKS control plane.
    """

    vcpu_hour: float = 0.04048
    gb_hour: float = 0.004445
    postgres_vcpu_hour: float = 0.11
    postgres_zones: float = 2
    postgres_gb_month: float = 0.115
    s3_gb_month: float = 0.023
    s3_call: float = 0.000005
    cluster_hour: float = 0.10


@dataclass(frozen=True)
class Cluster:
    """What there is to run on.

    Attributes:
        pods: runs at once, at most (`max_concurrent_runs`).
        pod_vcpu: of a run's pod; more than 2 count as 2, which is all that was measured.
        pod_gb: memory of a run's pod; 2 is Fargate's least beside 1 vCPU, a run needs 0.6.
        pod_start_seconds: from the launch to the first instruction of the process. An assumption: it was not measured.
        launch_seconds: the daemon's own, for each run that it launches, one after another. An assumption.
        dequeue_seconds: between two looks of the daemon into its queue.
        runs_per_sender: at once; 1 as the pools of dagster.yaml are set.
        locations: code locations that senders are spread over, evenly (CLAIMS_SENDERS).
        images: that contracts are spread over, evenly; 1: each image has them all.
        sensor_threads: ticks at once, as deploy/kubernetes/values.yaml sets `sensors`; one after another is Dagster's
            own default. More than `locations` gain nothing: each code server is one process, and a tick is CPU of
            Python.
        interval_seconds: between two ticks of a sender, at least.
        settle_seconds: a dump must be seen the same in two ticks that lie so far apart; 0: one tick is enough.
        postgres_cores: of the warehouse's server.
        postgres_wal_mb: of write-ahead log a second, at most: half of what a gp3 volume of RDS writes without extra
            (125). The other half is for the pages that checkpoints write: about as many bytes as the log has. An
            assumption.
        postgres_connections: `max_connections` of the warehouse.
        reserved_connections: of these for people, ticks and upkeep.
    """

    pods: int = 10
    pod_vcpu: float = 1
    pod_gb: float = 2
    pod_start_seconds: float = 10
    launch_seconds: float = 0.2
    dequeue_seconds: float = 5
    runs_per_sender: int = 1
    locations: int = 1
    images: int = 1
    sensor_threads: int = 8
    interval_seconds: float = 15
    settle_seconds: float = 5
    postgres_cores: float = 4
    postgres_wal_mb: float = 62
    postgres_connections: int = 400
    reserved_connections: int = 10

    @property
    def most_runs(self) -> int:
        """Runs at once: a pod and a connection each."""
        return max(1, min(self.pods, self.postgres_connections - self.reserved_connections))


@dataclass(frozen=True)
class Deliveries:
    """What arrives.

    Attributes:
        feeds: how many; each delivers one dump a day.
        feeds_per_sender: that deliver together, and whose runs follow each other.
        rows: of a dump, on average: its bytes by those of a row (`raw_bytes`); 10 GB are 29e6.
        spread: sigma of the logarithm of a dump's rows; 0: all have as many. 1.5: the largest of a hundred has some
            ten times the average.
        kind: of rows: new ones, as in a first load; unchanged; or a delta, half of them updates spread over a large
            table.
        window_hours: over which the senders' due times are spread evenly.
        jitter_minutes: standard deviation of a dump's arrival around its sender's due time.
        days: simulated.
        seed: of arrivals and sizes; the same seed, the same figures.
    """

    feeds: int = 100
    feeds_per_sender: int = 10
    rows: float = 10_000
    spread: float = 1.5
    kind: str = "delta"
    window_hours: float = 6
    jitter_minutes: float = 20
    days: int = 1
    seed: int = 526

    @property
    def senders(self) -> int:
        """How many senders there are."""
        return -(-self.feeds // self.feeds_per_sender)


def start_seconds(measured: Measured, cluster: Cluster, feeds: int) -> float:
    """From the launch of a run to its first step: pod, imports, contracts of its image, definitions of its location."""

    def further(parts: int) -> float:
        return max(0.0, feeds / parts - measured.project_feeds)

    process = measured.run_start_seconds + further(cluster.images) * measured.contract_seconds
    return cluster.pod_start_seconds + process + further(cluster.locations) * measured.feed_cpu_seconds


def pod_seconds(measured: Measured, *, dumps: int, rows: float, datasets: int | None = None, vcpu: float = 2) -> float:
    """Of a run's process besides its start and Postgres: archive, validation, Dagster's events.

    Args:
        measured: figures of one dump and of one row.
        dumps: of the run.
        rows: of all of them.
        datasets: whose steps Dagster takes; None for one to a dump.
        vcpu: of its machine; measured were 2, and with fewer the process' own CPU is the limit.
    """
    steps = dumps if datasets is None else datasets
    row_us = max(measured.row_us, measured.row_cpu_us / vcpu)
    return dumps * measured.dump_seconds + steps * measured.dataset_seconds + rows * row_us / MILLION


def load_seconds(kind: Kind, rows: float) -> float:
    """Of a session of Postgres that has the server to itself."""
    return rows * kind.load_us / MILLION


def tick_interval(measured: Measured, cluster: Cluster, senders: int) -> float:
    """Seconds between two ticks of a sender: the daemon evaluates one after another, or some at once."""
    at_once = max(1, min(cluster.sensor_threads, cluster.locations))
    return max(cluster.interval_seconds, senders * measured.tick_seconds / at_once)
