"""Fixtures: an AWS of the tests' own over HTTP (moto), whose S3 tells a real SQS queue of what is written.

Belongs here: the server, a bucket with its queue, and short ways to write and to look. Does not belong here: what is
expected.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from claims_pipeline.hearing import Heard, hear
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import LocalServices
from claims_pipeline.services import Services
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_pipeline import Pipeline, pipeline_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ACCOUNT, REGION = "123456789012", "us-east-1"


@dataclass(frozen=True)
class Cloud:
    """An AWS: S3, SQS and EventBridge."""

    url: str

    def client(self, service: Any) -> Any:
        """A boto3 client of a service, by its name."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def queue(self, *, dead: bool = False) -> str:
        """URL of a new queue; with a dead-letter queue, its name and "-dead", after three receives."""
        sqs, name, attributes = self.client("sqs"), f"q-{secrets.token_hex(8)}", {}
        if dead:
            sqs.create_queue(QueueName=f"{name}-dead")
            target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-dead"
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 3})
        return str(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def arn_of(queue: str) -> str:
    """The ARN of a queue, by its URL."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.rpartition('/')[2]}"


@dataclass
class Events:
    """A pipeline whose inbox tells a queue of what is written to it."""

    cloud: Cloud
    queue: str
    pipeline: Pipeline

    @property
    def s3(self) -> S3Client:
        return self.pipeline.s3

    @property
    def inbox(self) -> str:
        return self.pipeline.inbox

    def tell_directly(self) -> None:
        """Let the bucket itself tell the queue of everything."""
        everything: Any = {"QueueArn": arn_of(self.queue), "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
        self.s3.put_bucket_notification_configuration(
            Bucket=self.inbox, NotificationConfiguration={"QueueConfigurations": [everything]}
        )

    def tell_through_eventbridge(self) -> None:
        """Let the bucket tell EventBridge, and a rule of it the queue."""
        self.s3.put_bucket_notification_configuration(
            Bucket=self.inbox, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        rules, name = self.cloud.client("events"), f"r-{secrets.token_hex(8)}"
        pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [self.inbox]}}}
        rules.put_rule(Name=name, EventPattern=json.dumps(pattern))
        rules.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn_of(self.queue)}])

    def put(self, key: str, body: bytes = b"id\n1\n") -> str:
        """Write an object; returns its key."""
        self.s3.put_object(Bucket=self.inbox, Key=key, Body=body)
        return key

    def send(self, body: object) -> None:
        """Put a message into the queue by hand: text as it is, all else as JSON."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.cloud.client("sqs").send_message(QueueUrl=self.queue, MessageBody=text)

    def tell_of(self, key: str, *, bucket: str | None = None, **written: object) -> None:
        """Send an event of an object as a bucket would, whether it is there or not."""
        s3 = {"bucket": {"name": bucket or self.inbox}, "object": {"key": key, **written}}
        self.send({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]})

    def hear(self) -> Heard:
        """Hear what is in the queue now."""
        heard = hear(self.pipeline.services)
        assert heard is not None
        return heard

    def left(self) -> int:
        """Messages in the queue, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.cloud.client("sqs").get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def ledger(self) -> list[Dump]:
        """The whole ledger, oldest stamp first."""
        with self.pipeline.services.database() as connection:
            return ledger.select(connection, "true")

    def settling_for(self, seconds: float) -> None:
        """Let dumps settle for so long from now on."""
        self.configure(settle_seconds=seconds)

    def configure(self, **settings: object) -> None:
        """Change settings from now on."""
        changed = self.pipeline.services.settings.model_copy(update=settings)
        self.pipeline.services = Services(changed, lambda: self.s3)


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """An AWS of the test session's own, on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Cloud(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def events(cloud: Cloud, services: LocalServices, tmp_path: Path) -> Iterator[Events]:
    """A pipeline with an inbox and a queue on that AWS; the one does not tell the other yet."""
    s3: S3Client = cloud.client("s3")
    with pipeline_of(services, s3, tmp_path, feeds=[]) as pipeline:
        found = Events(cloud, cloud.queue(dead=True), pipeline)
        secret = SecretStr("test")
        found.configure(events_queue_url=found.queue, s3_access_key_id="test", s3_secret_access_key=secret)
        ensure_bucket(s3, found.inbox)
        yield found
