"""All settings: `CLAIMS_*` environment variables or a `.env` file. Without any, everything is embedded.

Belongs here: names, defaults, meaning. Does not belong here: connecting to anything (see `services`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """One field per `CLAIMS_*` variable; `.env.example` is written from the descriptions (`make docs`)."""

    model_config = SettingsConfigDict(env_prefix="CLAIMS_", env_file=".env", extra="ignore", frozen=True)

    state_dir: Path = Field(
        PROJECT_ROOT / ".local", description="Folder of the embedded Postgres, S3, keys and of Dagster's storage."
    )
    database_url: SecretStr | None = Field(
        None,
        description="postgresql:// URL of the warehouse, as claims_loader: what runs use. Unset: an embedded Postgres "
        "in the state folder.",
    )
    owner_database_url: SecretStr | None = Field(
        None,
        description="The same warehouse for `migrate`, backups, drills and erasure: a user who is claims_owner or may "
        "become it. Unset: CLAIMS_DATABASE_URL.",
    )
    bi_database_url: SecretStr | None = Field(
        None,
        description="The same warehouse for the dashboard: bi_reader, or a member. Required for it with a real "
        "database.",
    )
    s3_endpoint_url: str | None = Field(
        None, description="URL of an S3 endpoint, or 'aws' for AWS itself. Unset: an embedded S3 in the state folder."
    )
    s3_region: str = Field("us-east-1", description="Region of the buckets.")
    s3_access_key_id: str | None = Field(None, description="Access key. Unset: boto3's own search (role, profile...).")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret of the access key.")
    inbox_bucket: str = Field("claims-inbox", description="Bucket that senders write to; only read by us.")
    archive_bucket: str = Field("claims-archive", description="Bucket of the raw archive and the validated Parquet.")
    s3_encryption: Literal["", "AES256", "aws:kms"] = Field(
        "",
        description="Server-side encryption asked for with every object written: AES256 or aws:kms. "
        "Empty: the bucket's default.",
    )
    s3_kms_key_id: str | None = Field(None, description="KMS key for 'aws:kms'. Unset: the account's own for S3.")
    backup_bucket: str | None = Field(
        None, description="Bucket of the backups, below backups/. Unset: the archive bucket. Another account is safer."
    )
    backup_keep_days: int = Field(7, ge=1, description="Days of which the newest backup is kept.")
    backup_keep_weeks: int = Field(5, ge=0, description="ISO weeks of which the newest backup is kept.")
    backup_keep_months: int = Field(12, ge=0, description="Months of which the newest backup is kept.")
    pg_bin: Path | None = Field(
        None, description="Folder of pg_dump and pg_restore, not older than the server. Unset: PATH, else embedded."
    )
    token_keys: SecretStr | None = Field(
        None,
        description="Keys of the tokens, 'v1:<base64 of 32 bytes>,v2:...'; the last is used for new tokens. Or where "
        "they are: 'file:<path>', 'aws-secretsmanager:<name or ARN>', 'aws-kms:<base64 ciphertext>' (docs/keys.md). "
        "Unset with embedded parts: made once in the state folder. Required with a real database.",
    )
    quarantine_keys: SecretStr | None = Field(
        None, description="Keys that seal quarantined rows (AES-256-GCM), in the same form as the token keys."
    )
    settle_seconds: float = Field(
        5,
        ge=0,
        description="Seconds at least between the two looks that must see a dump the same before it is read. "
        "0: one look is enough.",
    )
    senders: str = Field(
        "",
        description="Senders of this code location of Dagster, comma-separated, without what there is once (backups, "
        "prune, digest...): a location beside the main one (docs/scale.md). Empty: all. Commands see all senders.",
    )
    senders_elsewhere: str = Field(
        "",
        description="Senders that have code locations of their own (CLAIMS_SENDERS there), comma-separated: the main "
        "location leaves them out. Empty: none.",
    )
    events_queue_url: str | None = Field(
        None,
        description="URL of an SQS queue with the inbox's S3 events (docs/events.md). Unset: dumps are found by "
        "listing alone.",
    )
    listing_minutes: float = Field(
        15,
        ge=0,
        description="Minutes between the beginnings of two listings of a whole inbox, where events are on or the "
        "listing takes more than one tick. Other inboxes are listed at every tick.",
    )
    listing_days: int = Field(
        14,
        ge=1,
        description="Last delivery days whose names are listed first where the whole inbox takes more than one tick "
        "and names begin with the day.",
    )
    batch_bytes: int = Field(4 << 20, ge=1 << 16, description="Bytes of CSV handled at once; bounds a run's memory.")
    validation_threads: int | None = Field(
        None, ge=1, description="Batches of one dump that are worked on at once. Unset: one per core, at most 4."
    )
    max_attempts: int = Field(
        3, ge=1, description="How often a dump is tried in runs of their own before it is failed."
    )
    dagster_url: str = Field(
        "http://127.0.0.1:3000", description="Where people open the Dagster UI; links in messages."
    )
    dagster_storage_url: SecretStr | None = Field(
        None, description="postgresql:// URL of Dagster's own storage. Unset: SQLite in the state folder."
    )
    slack_token: SecretStr | None = Field(None, description="Slack bot token (chat:write). Unset: no Slack messages.")
    slack_channel: str = Field("#claims-pipeline", description="Slack channel of the messages.")
    slack_quiet: bool = Field(False, description="No message for runs that went well; a daily digest instead.")
    slack_base_url: str | None = Field(None, description="Other Slack API root (tests, proxies); ends in /api/.")
    datadog_statsd_host: str | None = Field(None, description="Host of the DogStatsD agent. Unset: no metrics.")
    datadog_statsd_port: int = Field(8125, description="UDP port of the DogStatsD agent.")
    datadog_env: str = Field("local", description="Value of the 'env' tag on every metric and event.")

    datadog_api_url: str = Field(
        "https://api.datadoghq.com",
        description="Datadog's API for `claims-pipeline monitors`: by site, such as https://api.ddog-gov.com.",
    )
    datadog_api_key: SecretStr | None = Field(None, description="API key for `claims-pipeline monitors`.")
    datadog_app_key: SecretStr | None = Field(
        None, description="Application key for `claims-pipeline monitors`: monitors_* and dashboards_* scopes."
    )
    datadog_lean: bool = Field(
        False, description="Monitors are for the lean mode: CronJobs, such as a daily `catch-up`, and no daemon."
    )
    datadog_notify: str = Field(
        "", description="Whom monitors tell, in Datadog's handles: '@slack-claims-pipeline @pagerduty-claims'."
    )
    runbooks_url: str = Field(
        "docs/runbooks",
        description="Folder of the runbooks in Slack messages and monitors: where people read this repository's "
        "docs/runbooks, such as https://<git host>/<repository>/blob/main/docs/runbooks.",
    )

    log_format: Literal["text", "json"] = Field(
        "text",
        description="json: each event (a dump archived, validated, loaded, refused; a report, a backup made) is a JSON "
        "line on standard error, besides what commands print and Dagster logs. See docs/monitoring.md.",
    )

    prune: Literal["apply", "dry-run"] = Field(
        "apply",
        description="What the daily prune does: 'apply' deletes what `claims-pipeline prune` lists (leftovers, old "
        "logs, objects past their contract's retention), 'dry-run' only lists it.",
    )
    dagster_run_days: int = Field(
        90, ge=0, description="Days that Dagster's runs and their events are kept; 0 for ever. See docs/upkeep.md."
    )
    compute_log_days: int = Field(30, ge=0, description="Days that the output of Dagster's steps is kept; 0 for ever.")

    rebuild_drill_bytes: int = Field(
        1 << 30, ge=0, description="Bytes of raw dumps of a feed and its kin up to which the weekly drill rebuilds it."
    )

    @property
    def run_locks(self) -> Path:
        """Folder of the locks by which runs of this machine are known to be alive."""
        return self.state_dir / "run_locks"


@cache
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()


def example() -> str:
    """The text of `.env.example`: every variable, its meaning and default, commented out."""
    lines = ["# Settings of claims_pipeline. Copy to .env and change; without any, everything is embedded.", ""]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, Path) and default.is_relative_to(PROJECT_ROOT):
            default = default.relative_to(PROJECT_ROOT)
        lines += [f"# {field.description}", f"#CLAIMS_{name.upper()}={'' if default is None else default}", ""]
    return "\n".join(lines)
