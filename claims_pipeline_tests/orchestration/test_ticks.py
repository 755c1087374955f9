"""Ticks of the arrivals sensor with S3's events: from the write to the run request, and when the queue fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from claims_pipeline.extent import Round
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.orchestration.sensors import arrivals_sensor, look
from claims_pipeline.orchestration.ticks import Tick
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline_tests.fix_dagster import CodeLocation, Configure, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_events import Cloud, arn_of
from claims_pipeline_tests.fix_listeners import SlackListener, StatsdListener

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@dataclass
class Told:
    """A code location whose inbox tells a queue, and what its sensor remembers."""

    location: CodeLocation
    cloud: Cloud
    queue: str
    at: Round
    said: str = ""

    def tick(self) -> list[dg.RunRequest]:
        """What one tick asks for."""
        tick = Tick(self.at)
        requests, found, _ = look(self.location.instance, self.location.pipeline, SENDER, tick)
        self.at, self.said = Round.from_text(tick.cursor), f"listed {found.listed}; {tick.said}"
        return requests


@pytest.fixture
def told(pointed: str, cloud: Cloud, configure: Configure, bucket: str, s3: S3Client) -> Told:
    """An inbox on an AWS of the tests' own, looked at once; dumps that are only listed settle for an hour."""
    queue, client = cloud.queue(), cloud.client("s3")
    for name in (bucket, f"{bucket}-archive"):
        ensure_bucket(client, name)
    client.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn_of(queue), "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    configure(
        s3_endpoint_url=cloud.url,
        s3_access_key_id="test",
        s3_secret_access_key="test",
        archive_bucket=f"{bucket}-archive",
        events_queue_url=queue,
        settle_seconds=3600,
    )
    found = Told(CodeLocation(dg.DagsterInstance.ephemeral(), client, bucket, pointed), cloud, queue, Round())
    found.tick()
    return found


def test_a_write_is_a_run_request_in_the_next_tick(told: Told) -> None:
    told.location.put(upload_name(), as_csv(upload_lines()))
    assert (len(told.tick()), told.said) == (1, "listed 0; heard 1 messages (new 1)")


def test_what_an_event_told_is_loaded(told: Told) -> None:
    told.location.put(upload_name(), as_csv(upload_lines()))
    (request,) = told.tick()
    told.location.run(request)
    assert told.location.statuses() == {DumpStatus.LOADED: 1}


def test_a_lost_event_is_made_good_when_the_next_round_is_due(told: Told) -> None:
    told.location.put(upload_name(), as_csv(upload_lines()))
    told.cloud.client("sqs").purge_queue(QueueUrl=told.queue)
    told.tick()
    assert told.location.dumps() == []
    told.at = Round()
    told.tick()
    assert len(told.location.dumps()) == 1


def test_a_queue_that_cannot_be_read_leaves_the_listing(told: Told, configure: Configure) -> None:
    told.location.put(upload_name(), as_csv(upload_lines()))
    configure(events_queue_url=f"{told.queue}-gone", settle_seconds=0)
    assert (len(told.tick()), told.said[:37]) == (1, "listed 1; events not heard, so listed")


def test_a_message_that_is_no_event_is_told_of_once(
    told: Told, configure: Configure, slack_api: SlackListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claims_pipeline.landing.queue.HIDDEN_SECONDS", 3)
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    told.cloud.client("sqs").send_message(QueueUrl=told.queue, MessageBody="Jane Doe")
    for _ in range(5):  # each waits a second for more: received twice at least
        told.tick()
    assert ["not understood" in str(call.payload) for call in slack_api.calls] == [True]


def test_no_message_is_quoted_in_slack(told: Told, configure: Configure, slack_api: SlackListener) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    told.cloud.client("sqs").send_message(QueueUrl=told.queue, MessageBody="Jane Doe")
    told.tick()
    assert "Jane" not in str(slack_api.calls)


def test_events_are_counted(told: Told, configure: Configure, statsd: StatsdListener) -> None:
    configure(datadog_statsd_host="127.0.0.1", datadog_statsd_port=statsd.port)
    told.location.put(upload_name(), as_csv(upload_lines()))
    told.tick()
    found = {line.tags["kind"]: line.value for line in statsd.metrics() if line.name == "claims.events"}
    assert found == {"new": 1}


def test_the_sensors_cursor_is_where_the_round_is(told: Told) -> None:
    with dg.build_sensor_context(
        instance=told.location.instance, resources={"pipeline": told.location.pipeline}, cursor=told.at.text()
    ) as context:
        arrivals_sensor(SENDER)(context)
        assert context.cursor == told.at.text()  # no round was due: events are heard
