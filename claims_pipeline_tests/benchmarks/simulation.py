"""A discrete-event simulation of many feeds: from the arrival of dumps to their rows in tables.

Belongs here: events, queues, what waits for what, what came out. Does not belong here: the figures that go in
(capacity.py), the command line, tables and the plot (simulate.py).

What is simulated, in the order in which a dump meets it:

1. It arrives around its sender's due time. The first tick of the sender's sensor after that enters it into the ledger;
   the next one finds it settled, and asks for one run of all dumps of the sender that are ready.
2. The run waits until the sender has no other run (pool), and a pod and a connection are free. The daemon looks into
   its queue every few seconds, and launches one run after another.
3. The pod starts, the process imports, and archives and validates all dumps of the run.
4. It loads them in a session of Postgres. All sessions share its cores and its write-ahead log evenly; none is faster
   than alone.
5. With the end of the run all its dumps count as in their tables: Dagster takes all steps of one kind before the next,
   so the true time is at most that.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import defaultdict, deque
from dataclasses import dataclass

from claims_pipeline_tests.benchmarks.capacity import (
    KINDS,
    Cluster,
    Deliveries,
    Kind,
    Measured,
    load_seconds,
    pod_seconds,
    start_seconds,
    tick_interval,
)

DAY = 86_400.0
HOUR = 3_600.0
LEAST_BILLED = 60.0
"""Seconds that a pod is billed for at least (Fargate)."""

_REQUEST, _DEQUEUE, _READY = range(3)


@dataclass
class Run:
    """Dumps of one sender that were ready at one tick; times in seconds from the first midnight."""

    sender: int
    arrivals: list[float]
    rows: float
    requested: float
    launched: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What came out; times in seconds, from the arrival of a dump to the end of the run that loads it.

    Attributes:
        dumps: that arrived.
        loaded: of these.
        rows: of all dumps.
        runs: that loaded them.
        p50: of the times.
        p95: of the times.
        longest: of the times.
        waited_p95: between the request of a run and its launch.
        tick_interval: between two ticks of a sender.
        start_seconds: of a run until its first step.
        ended: when the last run ended, from the first midnight.
        peak_runs: at once.
        peak_loads: sessions in their load at once.
        pod_seconds: of all runs, from launch to end.
        billed_seconds: the same where no run counts less than a minute.
        postgres_busy: share of the server's CPU over the whole time, 0..1.
        postgres_busiest_hour: the same of the busiest hour.
        wal_busiest_hour: share of what the server can write of write-ahead log, in the busiest hour, 0..1.
        wal_bytes: written by loads.
    """

    dumps: int
    loaded: int
    rows: float
    runs: int
    p50: float
    p95: float
    longest: float
    waited_p95: float
    tick_interval: float
    start_seconds: float
    ended: float
    peak_runs: int
    peak_loads: int
    pod_seconds: float
    billed_seconds: float
    postgres_busy: float
    postgres_busiest_hour: float
    wal_busiest_hour: float
    wal_bytes: float


class Postgres:
    """One server that loads share evenly; `work` is seconds of a session that has it to itself.

    Sessions at the same rate end in the order of the work that they brought and that was done when they came: so a heap
    of "work done when it ends" answers who is next, however many share.
    """

    def __init__(self, kind: Kind, cluster: Cluster) -> None:
        self._cores_of_one = kind.cpu_us / kind.load_us
        wal_of_one = kind.wal_bytes / kind.load_us  # bytes a microsecond: MB a second
        by_wal = cluster.postgres_wal_mb / wal_of_one if wal_of_one else math.inf
        self._cores, self._wal_mb = cluster.postgres_cores, cluster.postgres_wal_mb
        self._wal_of_core = kind.wal_bytes / kind.cpu_us
        self._most = min(cluster.postgres_cores / self._cores_of_one, by_wal)
        self._heap: list[tuple[float, int, Run]] = []
        self._order = itertools.count()
        self._now = self._done = 0.0
        self.cpu_by_hour: defaultdict[int, float] = defaultdict(float)
        self.peak = 0

    @property
    def rate(self) -> float:
        """How much of a session's own speed each has now, 0..1."""
        return min(1.0, self._most / max(1, len(self._heap)))

    def advance(self, now: float) -> None:
        """Let time pass."""
        cores, begin = len(self._heap) * self.rate * self._cores_of_one, self._now
        self._done += (now - begin) * self.rate
        while cores and begin < now:
            end = min(now, (math.floor(begin / HOUR) + 1) * HOUR)
            self.cpu_by_hour[math.floor(begin / HOUR)] += (end - begin) * cores
            begin = end
        self._now = now

    def begin(self, run: Run, work: float) -> None:
        """A session begins its load now."""
        heapq.heappush(self._heap, (self._done + work, next(self._order), run))
        self.peak = max(self.peak, len(self._heap))

    def next_end(self) -> float | None:
        """When the next load ends if none begins before; None where none is."""
        return self._now + max(0.0, self._heap[0][0] - self._done) / self.rate if self._heap else None

    def end(self) -> Run:
        """The load that ends now."""
        done, _, run = heapq.heappop(self._heap)
        self._done = max(self._done, done)
        return run

    def busiest_hour(self) -> float:
        """Share of the CPU in the hour that had most, 0..1."""
        return max(self.cpu_by_hour.values(), default=0.0) / (self._cores * HOUR)

    def wal_busiest_hour(self) -> float:
        """Share of what can be written of write-ahead log in the hour that had most, 0..1."""
        return self.busiest_hour() * self._cores * self._wal_of_core / self._wal_mb


class Simulation:
    """One simulation; `run` it once. Its `runs` tell afterwards when each was launched and ended."""

    def __init__(self, deliveries: Deliveries, cluster: Cluster, measured: Measured) -> None:
        self._deliveries, self._cluster, self._measured = deliveries, cluster, measured
        self._kind = KINDS[deliveries.kind]
        self._interval = tick_interval(measured, cluster, deliveries.senders)
        self._start = start_seconds(measured, cluster, deliveries.feeds)
        self.runs = requests_of(deliveries, self._interval, cluster.settle_seconds)
        self._postgres = Postgres(self._kind, cluster)
        self._events: list[tuple[float, int, int, Run | None]] = []
        self._order = itertools.count()
        self._queue: deque[Run] = deque()  # those whose sender has a place, in the order in which they got it
        self._blocked: defaultdict[int, deque[Run]] = defaultdict(deque)
        self._of_sender: defaultdict[int, int] = defaultdict(int)  # queued with a place, or running
        self._running = self._peak = 0
        self._will_look = False
        self._daemon_free = 0.0

    def run(self) -> Outcome:
        """From the first arrival until everything is loaded."""
        for run in self.runs:
            self._at(run.requested, _REQUEST, run)
        now = 0.0
        while True:
            loaded = self._postgres.next_end()
            if loaded is not None and (not self._events or loaded <= self._events[0][0]):
                now = loaded
                self._postgres.advance(now)
                self._end(now, self._postgres.end())
            elif self._events:
                now, what, _, asked = heapq.heappop(self._events)
                self._postgres.advance(now)
                self._happen(now, what, asked)
            else:
                return self._outcome(now)

    def _at(self, when: float, what: int, run: Run | None = None) -> None:
        heapq.heappush(self._events, (when, what, next(self._order), run))

    def _happen(self, now: float, what: int, run: Run | None) -> None:
        if run is None:
            self._will_look = False
            self._look_into_queue(now)
        elif what == _REQUEST:
            if self._of_sender[run.sender] < self._cluster.runs_per_sender:
                self._take_place(now, run)
            else:
                self._blocked[run.sender].append(run)
        else:
            self._postgres.begin(run, load_seconds(self._kind, run.rows))

    def _take_place(self, now: float, run: Run) -> None:
        self._of_sender[run.sender] += 1
        self._queue.append(run)
        self._look_soon(now)

    def _look_soon(self, now: float) -> None:
        """At the daemon's next look, if there is what it could launch."""
        if self._queue and self._running < self._cluster.most_runs and not self._will_look:
            self._will_look = True
            every = self._cluster.dequeue_seconds
            free = max(now, self._daemon_free)
            self._at(math.ceil(free / every) * every if every else free, _DEQUEUE)

    def _look_into_queue(self, now: float) -> None:
        launched = now
        while self._queue and self._running < self._cluster.most_runs:
            run = self._queue.popleft()
            launched += self._cluster.launch_seconds
            run.launched = launched
            self._running += 1
            vcpu = self._cluster.pod_vcpu
            work = pod_seconds(self._measured, dumps=len(run.arrivals), rows=run.rows, vcpu=vcpu)
            self._at(launched + self._start + work, _READY, run)
        self._daemon_free = launched
        self._peak = max(self._peak, self._running)

    def _end(self, now: float, run: Run) -> None:
        run.ended = now
        self._running -= 1
        self._of_sender[run.sender] -= 1
        if blocked := self._blocked[run.sender]:
            self._take_place(now, blocked.popleft())
        self._look_soon(now)

    def _outcome(self, now: float) -> Outcome:
        took = sorted(run.ended - arrived for run in self.runs if run.ended for arrived in run.arrivals)
        waited = sorted(run.launched - run.requested for run in self.runs)
        spent = [run.ended - run.launched for run in self.runs]
        rows = sum(run.rows for run in self.runs)
        whole = max(now, self._deliveries.days * DAY)
        busy = sum(self._postgres.cpu_by_hour.values()) / (self._cluster.postgres_cores * whole)
        return Outcome(
            dumps=self._deliveries.feeds * self._deliveries.days,
            loaded=len(took),
            rows=rows,
            runs=len(self.runs),
            p50=percentile(took, 0.5),
            p95=percentile(took, 0.95),
            longest=took[-1],
            waited_p95=percentile(waited, 0.95),
            tick_interval=self._interval,
            start_seconds=self._start,
            ended=now,
            peak_runs=self._peak,
            peak_loads=self._postgres.peak,
            pod_seconds=sum(spent),
            billed_seconds=sum(max(one, LEAST_BILLED) for one in spent),
            postgres_busy=busy,
            postgres_busiest_hour=self._postgres.busiest_hour(),
            wal_busiest_hour=self._postgres.wal_busiest_hour(),
            wal_bytes=rows * self._kind.wal_bytes,
        )


def requests_of(deliveries: Deliveries, interval: float, settle: float) -> list[Run]:
    """The runs that sensors ask for, by time: of each tick, one with all dumps of the sender that are ready."""
    chance = random.Random(deliveries.seed)
    drawn: list[tuple[int, float, float]] = []
    # An expectation of `rows` whatever the spread: that of a log-normal is exp(mu + sigma^2 / 2).
    middle = math.log(deliveries.rows) - deliveries.spread**2 / 2
    for feed in range(deliveries.feeds):
        sender = feed // deliveries.feeds_per_sender
        due = sender / deliveries.senders * deliveries.window_hours * HOUR
        for day in range(deliveries.days):
            late = chance.gauss(0, deliveries.jitter_minutes * 60)
            rows = math.exp(chance.gauss(middle, deliveries.spread))
            # Twelve hours on, so that nobody's early dump lies before the first midnight.
            drawn.append((sender, day * DAY + DAY / 2 + due + late, rows))
    phase = [chance.random() * interval for _ in range(deliveries.senders)]
    found: dict[tuple[float, int], Run] = {}
    for sender, arrived, rows in sorted(drawn):
        first = phase[sender] + math.ceil((arrived - phase[sender]) / interval) * interval
        ready = first + math.ceil(settle / interval) * interval
        run = found.setdefault((ready, sender), Run(sender, [], 0.0, ready))
        run.arrivals.append(arrived)
        run.rows += rows
    return [found[at] for at in sorted(found)]


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; `ordered` has one or more."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def simulate(deliveries: Deliveries, cluster: Cluster | None = None, measured: Measured | None = None) -> Outcome:
    """One simulation with these inputs; the same inputs, the same outcome."""
    return Simulation(deliveries, cluster or Cluster(), measured or Measured()).run()
