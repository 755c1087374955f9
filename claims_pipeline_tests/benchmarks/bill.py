"""What a month costs: from the outcome of a simulated day to dollars, by part.

Belongs here: arithmetic on prices. Does not belong here: the prices (capacity.py), how long runs take (simulation.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from claims_pipeline_tests.benchmarks.capacity import GB, KINDS, MILLION, Cluster, Deliveries, Measured, Prices
from claims_pipeline_tests.benchmarks.simulation import DAY, HOUR, Outcome

DAYS_OF_MONTH = 30.4
HOURS_OF_MONTH = DAYS_OF_MONTH * 24
EVENT_DAYS = 90
"""That Dagster's runs are kept for: the default of CLAIMS_DAGSTER_RUN_DAYS."""

_STANDING_VCPU, _STANDING_GB = 0.5, 1.0
_STORAGE_CORES = 2.0


@dataclass(frozen=True)
class Bill:
    """Dollars of one month, after a year of such days.

    Attributes:
        runs: their pods.
        standing: daemon, webserver, a code server for each location, the cluster itself.
        postgres: the warehouse's server and a server of two cores for Dagster's storage.
        storage: tables and history of a year, Dagster's event log.
        objects: raw archive and validated frames of a year.
        calls: to S3: sensors that list, runs that read and write.
        rows: of a month.
    """

    runs: float
    standing: float
    postgres: float
    storage: float
    objects: float
    calls: float
    rows: float

    @property
    def month(self) -> float:
        """All of it."""
        return self.runs + self.standing + self.postgres + self.storage + self.objects + self.calls

    @property
    def per_million_rows(self) -> float:
        """All of it, for each million rows delivered."""
        return self.month / (self.rows / MILLION)

    def as_dict(self) -> dict[str, float]:
        """Dollars by part, to the cent."""
        parts = {**asdict(self), "month": self.month, "per_million_rows": self.per_million_rows}
        return {name: round(value, 2) for name, value in parts.items()}


def bill(outcome: Outcome, deliveries: Deliveries, cluster: Cluster, measured: Measured, prices: Prices) -> Bill:
    """The month whose days are those that were simulated."""
    months = DAYS_OF_MONTH / deliveries.days
    rows, dumps = outcome.rows * months, outcome.dumps * months
    billed_hours = outcome.billed_seconds * months / HOUR
    return Bill(
        runs=billed_hours * _pod_hour(prices, cluster.pod_vcpu, cluster.pod_gb),
        standing=HOURS_OF_MONTH * (_standing(deliveries, cluster, measured, prices) + prices.cluster_hour),
        postgres=HOURS_OF_MONTH
        * prices.postgres_vcpu_hour
        * prices.postgres_zones
        * (cluster.postgres_cores + _STORAGE_CORES),
        storage=(year_bytes(outcome, deliveries, measured) + event_bytes(deliveries, measured))
        / GB
        * prices.postgres_gb_month
        * prices.postgres_zones,
        objects=rows * 12 * (measured.raw_bytes + measured.parquet_bytes) / GB * prices.s3_gb_month,
        calls=(
            deliveries.senders * DAYS_OF_MONTH * DAY / outcome.tick_interval * prices.s3_call
            + dumps * measured.s3_calls * prices.s3_call
        ),
        rows=rows,
    )


def year_bytes(outcome: Outcome, deliveries: Deliveries, measured: Measured) -> float:
    """Of tables and history after a year of such days."""
    rows = outcome.rows / deliveries.days * DAYS_OF_MONTH * 12
    return rows * KINDS[deliveries.kind].kept * measured.stored_bytes


def event_bytes(deliveries: Deliveries, measured: Measured) -> float:
    """Of Dagster's event log, as long as it is kept: each dump is a dataset of a day."""
    return deliveries.feeds * EVENT_DAYS * measured.event_bytes


def _standing(deliveries: Deliveries, cluster: Cluster, measured: Measured, prices: Prices) -> float:
    """Dollars an hour: daemon and webserver, and code servers, whose memory grows with their feeds."""
    feeds = deliveries.feeds
    feeds_mb = feeds / cluster.images * measured.contract_mb + feeds / cluster.locations * measured.feed_mb
    code_server = _pod_hour(prices, _STANDING_VCPU, _STANDING_GB + feeds_mb / 1_000)
    return 2 * _pod_hour(prices, _STANDING_VCPU, _STANDING_GB) + cluster.locations * code_server


def _pod_hour(prices: Prices, vcpu: float, gb: float) -> float:
    return vcpu * prices.vcpu_hour + gb * prices.gb_hour
