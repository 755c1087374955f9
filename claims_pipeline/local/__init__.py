"""The embedded parts: a Postgres and an S3 endpoint that need no installation and no start, and the fake senders."""

from claims_pipeline.local.postgres import ensure_postgres, postgres_program
from claims_pipeline.local.process import LocalServiceError
from claims_pipeline.local.s3 import S3Endpoint, ensure_s3, s3_client
from claims_pipeline.local.secrets import kept_secret
from claims_pipeline.local.services import LocalServices, ServiceStatus, down, ensure_up, reset, status

__all__ = [
    "LocalServiceError",
    "LocalServices",
    "S3Endpoint",
    "ServiceStatus",
    "down",
    "ensure_postgres",
    "ensure_s3",
    "ensure_up",
    "kept_secret",
    "postgres_program",
    "reset",
    "s3_client",
    "status",
]
