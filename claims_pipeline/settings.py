"""All settings: `CLAIMS_*` environment variables or a `.env` file. Without any, everything is embedded.

Belongs here: names, defaults, meaning. Does not belong here: connecting to anything (see `services`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

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
        None, description="postgresql:// URL of the warehouse. Unset: an embedded Postgres in the state folder."
    )
    s3_endpoint_url: str | None = Field(
        None, description="URL of an S3 endpoint, or 'aws' for AWS itself. Unset: an embedded S3 in the state folder."
    )
    s3_region: str = Field("us-east-1", description="Region of the buckets.")
    s3_access_key_id: str | None = Field(None, description="Access key. Unset: boto3's own search (role, profile...).")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret of the access key.")
    inbox_bucket: str = Field("claims-inbox", description="Bucket that senders write to; only read by us.")
    archive_bucket: str = Field("claims-archive", description="Bucket of the raw archive and the validated Parquet.")
    token_keys: SecretStr | None = Field(
        None,
        description="Keys of the tokens, 'v1:<base64 of 32 bytes>,v2:...'; the last is used for new tokens. "
        "Unset with embedded parts: made once in the state folder. Required with a real database.",
    )
    quarantine_keys: SecretStr | None = Field(
        None, description="Keys that seal quarantined rows (AES-256-GCM), in the same form as the token keys."
    )
    batch_bytes: int = Field(8 << 20, ge=1 << 16, description="Bytes of CSV handled at once; bounds a run's memory.")
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
