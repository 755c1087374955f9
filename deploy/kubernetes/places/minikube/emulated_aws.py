"""Makes in minikube's S3 what deploy/aws makes in an account: the buckets, and a queue of the inbox's events.

Run by the Job fake-dumps, in the pipeline's image. Idempotent. Reads CLAIMS_S3_ENDPOINT_URL, CLAIMS_INBOX_BUCKET,
CLAIMS_ARCHIVE_BUCKET and AWS's own variables; keys of S3 as CLAIMS_S3_ACCESS_KEY_ID and _SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import os

import boto3

QUEUE = "claims-inbox-events"


def main() -> None:
    """Buckets with versions, a queue, and the inbox's notifications to it."""
    keys = {
        "endpoint_url": os.environ["CLAIMS_S3_ENDPOINT_URL"],
        "region_name": os.environ["AWS_REGION"],
        "aws_access_key_id": os.environ["CLAIMS_S3_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["CLAIMS_S3_SECRET_ACCESS_KEY"],
    }
    s3, sqs = boto3.client("s3", **keys), boto3.client("sqs", **keys)
    inbox, archive = os.environ["CLAIMS_INBOX_BUCKET"], os.environ["CLAIMS_ARCHIVE_BUCKET"]
    for bucket in (inbox, archive):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.put_bucket_notification_configuration(
        Bucket=inbox,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )


if __name__ == "__main__":
    main()
