"""The queue of S3's events: SQS as this project uses it.

Belongs here: calls of the SQS API and the sorting of their errors. Does not belong here: what messages say
(event_messages.py), what is done about it (hearing.py).
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from claims_pipeline.errors import ClaimsPipelineError, SettingsError, Transient

HIDDEN_SECONDS = 120
"""How long a message that was received and not deleted stays hidden: two of the sensor's ticks at their longest."""
MOST_AT_ONCE = 10
"""Messages of one call, SQS's limit."""


@dataclass(frozen=True)
class Message:
    """A message as received.

    Attributes:
        receipt: by which it is deleted.
        body: its text.
        received: how often it has been received, this time included.
        sent_at: UTC.
    """

    receipt: str
    body: str
    received: int
    sent_at: dt.datetime


@dataclass(frozen=True)
class QueueState:
    """How many messages a queue holds, about.

    Attributes:
        name: of the queue.
        waiting: to be received.
        in_flight: received, and neither deleted nor back yet.
    """

    name: str
    waiting: int
    in_flight: int


class Queue:
    """A queue in SQS, or in an emulator."""

    def __init__(self, url: str, *, region: str, access_key_id: str | None, secret_access_key: str | None) -> None:
        """Connects to nothing yet.

        Args:
            url: of the queue. Its host is the endpoint that is called, and names the region if it is AWS's own.
            region: for other hosts.
            access_key_id: None leaves the search for credentials to boto3.
            secret_access_key: of the access key.

        Raises:
            SettingsError: the URL is none.
        """
        import boto3
        from botocore.config import Config

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError("CLAIMS_EVENTS_QUEUE_URL must be the URL of an SQS queue: https://sqs...")
        own = re.match(r"sqs\.([a-z0-9-]+)\.amazonaws\.com", parts.hostname)
        self.name = parts.path.rpartition("/")[2]
        self._url = url
        self._beside = partial(Queue, region=region, access_key_id=access_key_id, secret_access_key=secret_access_key)
        self._client: Any = boto3.client(
            "sqs",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            region_name=own[1] if own else region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5, read_timeout=10),
        )

    def state(self) -> QueueState:
        """How many messages there are, as SQS counts: about.

        Raises:
            Transient, ClaimsPipelineError: SQS failed, or refused.
        """
        told = self._attributes()
        waiting = int(told["ApproximateNumberOfMessages"]) + int(told.get("ApproximateNumberOfMessagesDelayed", 0))
        return QueueState(self.name, waiting, int(told["ApproximateNumberOfMessagesNotVisible"]))

    def dead_letters(self) -> Queue | None:
        """Where its redrive policy puts what was received too often; None without one.

        SQS has it in the same account and region, so its URL differs in the name alone.

        Raises:
            Transient, ClaimsPipelineError: SQS failed, or refused.
        """
        policy = json.loads(self._attributes().get("RedrivePolicy") or "{}")
        name = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]
        return self._beside(f"{self._url.rpartition('/')[0]}/{name}") if name else None

    def _attributes(self) -> dict[str, str]:
        with self._errors("looking at"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["All"])
        found: dict[str, str] = answer["Attributes"]
        return found

    def receive(self, *, wait_seconds: int = 1) -> list[Message]:
        """At most ten messages; none when the queue is empty.

        Args:
            wait_seconds: to wait for a first one. Not 0: SQS then asks only some of its servers, and an answer
                without messages would not mean that there are none.

        Raises:
            Transient, ClaimsPipelineError: SQS failed, or refused.
        """
        with self._errors("receiving from"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MOST_AT_ONCE,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=HIDDEN_SECONDS,
                AttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return [_message(item) for item in answer.get("Messages", [])]

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages that were received. One that SQS does not delete comes again, which does no harm.

        Raises:
            Transient, ClaimsPipelineError: SQS failed, or refused.
        """
        for some in _tens(messages):
            entries = [{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(some)]
            with self._errors("deleting from"):
                self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)

    def release(self, messages: Sequence[Message]) -> None:
        """Let messages that were received be received by others at once.

        Raises:
            Transient, ClaimsPipelineError: SQS failed, or refused.
        """
        for some in _tens(messages):
            entries = [
                {"Id": str(n), "ReceiptHandle": message.receipt, "VisibilityTimeout": 0}
                for n, message in enumerate(some)
            ]
            with self._errors("releasing messages of"):
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def send(self, messages: Sequence[Message]) -> list[Message]:
        """Send the text of messages of another queue.

        Returns:
            Those that SQS has taken.

        Raises:
            Transient, ClaimsPipelineError: SQS failed, or refused.
        """
        sent: list[Message] = []
        for some in _tens(messages):
            entries = [{"Id": str(n), "MessageBody": message.body} for n, message in enumerate(some)]
            with self._errors("sending to"):
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            sent += [some[int(taken["Id"])] for taken in answer.get("Successful", [])]
        return sent

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "?")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            kind = Transient if status >= 500 or status == 429 or "Throttl" in code else ClaimsPipelineError
            raise kind(f"SQS said {code} (HTTP {status}): {what} the queue {self.name}") from None
        except NoCredentialsError:
            raise ClaimsPipelineError(f"no credentials for SQS: {what} the queue {self.name}") from None
        except (BotoCoreError, OSError) as error:
            raise Transient(f"SQS did not answer ({type(error).__name__}): {what} the queue {self.name}") from None


def _tens(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for begin in range(0, len(messages), MOST_AT_ONCE):
        yield messages[begin : begin + MOST_AT_ONCE]


def _message(item: dict[str, Any]) -> Message:
    told = item.get("Attributes", {})
    sent = dt.datetime.fromtimestamp(int(told.get("SentTimestamp", 0)) / 1000, dt.UTC)
    return Message(item["ReceiptHandle"], item.get("Body", ""), int(told.get("ApproximateReceiveCount", 1)), sent)
