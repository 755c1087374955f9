"""`events`, `events dead` and `events redrive` as a person types them, on a queue of the tests' own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import Configure
from claims_pipeline_tests.fix_events import Cloud

WRITTEN = {"bucket": {"name": "b"}, "object": {"key": "k"}}
EVENT = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": WRITTEN}]})


@dataclass
class Queues:
    """An events queue and its dead-letter queue."""

    sqs: Any
    url: str

    def bury(self, *bodies: str) -> None:
        for body in bodies:
            self.sqs.send_message(QueueUrl=f"{self.url}-dead", MessageBody=body)

    def bodies(self, url: str) -> list[str]:
        """What can be received now, which is hidden by that."""
        found = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        return sorted(message["Body"] for message in found.get("Messages", []))


@pytest.fixture
def queues(cloud: Cloud, configure: Configure) -> Queues:
    url = cloud.queue(dead=True)
    configure(events_queue_url=url, s3_access_key_id="test", s3_secret_access_key="test")
    return Queues(cloud.client("sqs"), url)


def test_without_dead_letters_all_is_well(queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.url, MessageBody=EVENT)
    assert call("events").exit_code == 0
    assert call_json("events")["queue"]["waiting"] == 1


def test_dead_letters_are_counted(queues: Queues) -> None:
    queues.bury("Jane Doe", EVENT)
    assert call("events").exit_code == 1
    assert call_json("events")["dead_letters"]["waiting"] == 2


def test_dead_letters_are_shown_by_what_is_wrong_with_them(queues: Queues) -> None:
    queues.bury("Jane Doe", "John", EVENT)
    found = {kind["why"]: kind["messages"] for kind in call_json("events", "dead")}
    assert found == {"it is not JSON": 2, "understood by this version": 1}


def test_no_text_of_a_dead_letter_is_shown(queues: Queues) -> None:
    queues.bury("Jane Doe")
    result = call("events", "dead")
    assert (result.exit_code, "it is not JSON" in result.stdout, "Jane" in result.output) == (1, True, False)


def test_looking_takes_nothing_out_and_hides_nothing(queues: Queues) -> None:
    queues.bury("Jane Doe", EVENT)
    call("events", "dead")
    assert queues.bodies(f"{queues.url}-dead") == sorted(["Jane Doe", EVENT])


def test_what_is_understood_goes_back(queues: Queues) -> None:
    queues.bury("Jane Doe", EVENT)
    assert call_json("events", "redrive") == {"sent": 1, "left": 1, "more": False}
    assert (queues.bodies(queues.url), queues.bodies(f"{queues.url}-dead")) == ([EVENT], ["Jane Doe"])


def test_everything_goes_back_when_asked(queues: Queues) -> None:
    queues.bury(*["Jane Doe"] * 12)
    result = call("events", "redrive", "--all")
    assert (result.exit_code, queues.bodies(f"{queues.url}-dead")) == (0, [])
    assert len(queues.bodies(queues.url)) == 10  # of one call


def test_that_there_may_be_more_is_said(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claims_pipeline.dead_letters.MOST_MESSAGES", 1)
    queues.bury(EVENT)
    result = call("events", "redrive")
    assert (result.exit_code, "run it again" in result.stdout) == (1, True)


def test_a_queue_without_a_dead_letter_queue_is_said(queues: Queues, cloud: Cloud, configure: Configure) -> None:
    configure(events_queue_url=cloud.queue())
    assert "has no dead-letter queue" in " ".join(call("events", "dead").stderr.split())


def test_without_a_queue_that_is_said(configure: Configure) -> None:
    result = call("events")
    assert (result.exit_code, "CLAIMS_EVENTS_QUEUE_URL is not set" in result.stderr) == (3, True)
