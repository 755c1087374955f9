"""Imported by the server that players are forked from: does once what each would do again.

Belongs here: imports and caches, without a connection or a thread that a fork would lose.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import socket
import tempfile
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from claims_pipeline import reporting
from claims_pipeline.feeds import feeds_of
from claims_pipeline.frames import make_key_ring, validate_dump
from claims_pipeline.frames.keys import KeyRing, Keys
from claims_pipeline.landing.names import understand
from claims_pipeline.orchestration import resources
from claims_pipeline_tests.soak import player
from claims_pipeline_tests.soak.worlds import world

__all__ = ["player", "reporting", "resources"]  # what players import when they need it

_WORLD = 0  # of CSV; what Parquet needs besides is little


def _validate(number: int) -> None:
    """Read the first dump of a world: pandera, Arrow and the contract's schema are ready then."""
    played, ring = world(number), KeyRing.parse(make_key_ring())
    feeds, stamp = feeds_of(played.sender), dt.datetime(2026, 5, 4, 5, tzinfo=dt.UTC)
    named = [(understand(feeds[0].sender, feeds, key, stamp).feed, body) for key, body in played.steps[0]]
    feed, body = next((feed, body) for feed, body in named if feed is not None and body)
    with tempfile.TemporaryDirectory() as folder:
        validate_dump(
            io.BytesIO(body),
            feed=feed,
            compression=None,
            stamp=stamp,
            delivery_day=stamp.date(),
            keys=Keys(token=ring, quarantine=ring),
            rows_file=Path(folder) / "rows.parquet",
            rejects_file=Path(folder) / "rejects.parquet",
            batch_bytes=1 << 20,
        )


def _call_nobody() -> None:
    """Ask a port where nobody listens: botocore's models (0.3 s) and its regular expressions (0.2 s) are ready then."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="-",
        aws_secret_access_key="-",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with contextlib.suppress(EndpointConnectionError):
        client.list_objects_v2(Bucket="nobody")


_call_nobody()
_validate(_WORLD)
