"""Events by deploy/aws/events.yaml: an upload arrives in the queue, in both encodings; who may send, take and see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import pytest
from botocore.exceptions import ClientError

from claims_pipeline.dead_letters import dead_letters_of, look, redrive
from claims_pipeline.landing.queue import Queue
from claims_pipeline_tests.deploy.account import NUMBER, REGION, STRANGER, TEMPLATES, Account, account
from claims_pipeline_tests.deploy.policies import Ask

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")  # account.py does these parts

LOADER = "claims-pipeline-loader"
EVENT = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "inbox"}, "object": {"key": "526/late.csv"}},
}


@pytest.fixture(scope="module")
def aws() -> Iterator[Account]:
    with account() as made:
        yield made


@pytest.fixture(scope="module")
def direct() -> Iterator[Account]:
    """An account where S3 sends to the queue itself, as README.md says."""
    with account(EventEncoding="direct") as made:
        said = (TEMPLATES / "direct-events.json").read_text()
        made.admin("s3").put_bucket_notification_configuration(
            Bucket=made.outputs["InboxBucket"],
            NotificationConfiguration=json.loads(said.replace("EVENTS_QUEUE_ARN", made.outputs["EventsQueueArn"])),
        )
        received(made)  # S3 sends a test event
        yield made


def received(aws: Account, queue: str = "events") -> list[dict[str, Any]]:
    """All messages of a queue, taken out with the loader's rights."""
    loader, bodies = aws.client("sqs", aws.pod("LoaderRoleArn", LOADER)), []
    url = aws.outputs["EventsQueueUrl"]
    while messages := loader.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        assert len(loader.delete_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == len(entries)
        bodies += [json.loads(message["Body"]) for message in messages]
    return bodies


def upload(aws: Account, key: str, bucket: str = "InboxBucket") -> None:
    aws.admin("s3").put_object(Bucket=aws.outputs[bucket], Key=key, Body=b"rows")


# ---------------------------------------------------------------------------------------------- both encodings


def test_an_upload_arrives_through_eventbridge(aws: Account) -> None:
    upload(aws, "526/a b+c.csv")
    (event,) = received(aws)
    told = event["detail-type"], event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
    assert told == ("Object Created", aws.outputs["InboxBucket"], "526/a b+c.csv")


def test_an_upload_arrives_directly_and_once(direct: Account) -> None:
    upload(direct, "526/a b+c.csv")
    (event,) = received(direct)
    ((record,),) = event.values()
    told = record["eventName"], record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
    assert told == ("ObjectCreated:Put", direct.outputs["InboxBucket"], "526/a b+c.csv")


def test_what_we_write_ourselves_is_no_event(aws: Account) -> None:
    upload(aws, "raw/a.csv", bucket="ArchiveBucket")
    assert received(aws) == []


def test_an_event_that_is_received_in_vain_goes_to_the_dead_letters(aws: Account) -> None:
    upload(aws, "526/poison.csv")
    loader, admin = aws.client("sqs", aws.pod("LoaderRoleArn", LOADER)), aws.admin("sqs")
    url = aws.outputs["EventsQueueUrl"]
    times = 0
    while messages := loader.receive_message(QueueUrl=url).get("Messages"):
        times += 1
        loader.change_message_visibility(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"], VisibilityTimeout=0)
    dead = admin.receive_message(QueueUrl=f"{url}-dead")["Messages"]
    admin.purge_queue(QueueUrl=f"{url}-dead")
    assert (times, len(dead)) == (5, 1)


# ---------------------------------------------------------------------------------------------- who may what


def send(aws: Account, service: str, source: str, queue: str = "EventsQueueArn", **context: str) -> bool:
    told = {"aws:SourceArn": source, "aws:SecureTransport": "true", **context}
    return aws.allows(Ask(service, "sqs:SendMessage", aws.outputs[queue], told))


def rule(aws: Account) -> str:
    (found,) = [one for one in aws.admin("events").list_rules()["Rules"] if one["Name"].startswith(aws.name)]
    return str(found["Arn"])


@pytest.mark.parametrize("queue", ["EventsQueueArn", "DeadLettersArn"])
def test_only_that_rule_may_send(aws: Account, queue: str) -> None:
    other = f"arn:aws:events:{REGION}:{NUMBER}:rule/other"
    inbox = f"arn:aws:s3:::{aws.outputs['InboxBucket']}"
    allowed = [
        send(aws, "events.amazonaws.com", rule(aws), queue),
        send(aws, "events.amazonaws.com", other, queue),
        send(aws, "s3.amazonaws.com", inbox, queue, **{"aws:SourceAccount": NUMBER}),
    ]
    assert allowed == [True, False, False]


def test_directly_only_that_bucket_may_send(direct: Account) -> None:
    inbox, theirs = f"arn:aws:s3:::{direct.outputs['InboxBucket']}", "arn:aws:s3:::another-bucket"
    allowed = [
        send(direct, "s3.amazonaws.com", inbox, **{"aws:SourceAccount": NUMBER}),
        send(direct, "s3.amazonaws.com", inbox, **{"aws:SourceAccount": "111122223333"}),
        send(direct, "s3.amazonaws.com", theirs, **{"aws:SourceAccount": NUMBER}),
        send(direct, "events.amazonaws.com", rule(direct)),
    ]
    assert allowed == [True, False, False, False]


def test_dead_letters_are_looked_at_and_sent_back_with_the_loaders_rights(aws: Account) -> None:
    url = f"{aws.gate.url}{urlsplit(aws.outputs['EventsQueueUrl']).path}"
    pod = aws.pod("LoaderRoleArn", LOADER)
    aws.admin("sqs").send_message(QueueUrl=f"{aws.outputs['EventsQueueUrl']}-dead", MessageBody=json.dumps(EVENT))
    aws.gate.refused.clear()
    queue = Queue(url, region=REGION, access_key_id=pod["access_key"], secret_access_key=pod["secret"])
    looked = look(dead_letters_of(queue))
    sent, _ = redrive(queue, dead_letters_of(queue))
    assert (looked != [], sent, received(aws), aws.gate.refused) == (True, 1, [EVENT], [])


def test_nothing_is_sent_to_the_dead_letters_but_by_the_rule(aws: Account) -> None:
    loader = aws.client("sqs", aws.pod("LoaderRoleArn", LOADER))
    with pytest.raises(ClientError, match="AccessDenied"):
        loader.send_message(QueueUrl=f"{aws.outputs['EventsQueueUrl']}-dead", MessageBody="{}")


def test_nobody_else_takes_events(aws: Account) -> None:
    stranger = aws.client("sqs", aws.stranger(arn=STRANGER))
    with pytest.raises(ClientError, match="AccessDenied"):
        stranger.receive_message(QueueUrl=aws.outputs["EventsQueueUrl"])


# ---------------------------------------------------------------------------------------------- alarms


@pytest.mark.parametrize(
    ("alarm", "metric", "queue"),
    [
        ("EventsAreOld", "ApproximateAgeOfOldestMessage", "events"),
        ("EventsAreDead", "ApproximateNumberOfMessagesVisible", "events-dead"),
    ],
)
def test_an_alarm_watches_each_queue_and_tells_the_topic(aws: Account, alarm: str, metric: str, queue: str) -> None:
    said = aws.properties["events"][alarm]
    aws.admin("cloudwatch").put_metric_alarm(AlarmName=f"{aws.name}-{alarm}", **said)
    (made,) = aws.admin("cloudwatch").describe_alarms(AlarmNames=[f"{aws.name}-{alarm}"])["MetricAlarms"]
    told = made["MetricName"], made["Dimensions"], made["AlarmActions"]
    watched = [{"Name": "QueueName", "Value": f"{aws.name}-{queue}"}]
    assert told == (metric, watched, [aws.outputs["AlarmTopicArn"]])


def test_cloudwatch_alone_may_tell_the_topic(aws: Account) -> None:
    topic, context = aws.outputs["AlarmTopicArn"], {"aws:SourceAccount": NUMBER, "aws:SecureTransport": "true"}
    allowed = [aws.allows(Ask(who, "sns:Publish", topic, context)) for who in ("cloudwatch.amazonaws.com", STRANGER)]
    assert allowed == [True, False]
