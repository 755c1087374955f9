"""Resources: S3 through dagster-aws, and `pipeline`, which hands out the flow of a run and the alerts.

Belongs here: turning settings into Dagster resources, with nothing connected before first use. Does not belong here:
the plain objects behind them (`services`, `flow`, `alerts`), which know nothing of Dagster.
"""

import functools
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_aws.s3 import S3Resource

from claims_pipeline.alerting import make_alerts
from claims_pipeline.alerts import Alerts
from claims_pipeline.flow import Flow
from claims_pipeline.services import Services, s3_config, s3_session
from claims_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class InboxS3(S3Resource):
    """dagster-aws' S3 resource; what its configuration leaves open comes from the `CLAIMS_S3_*` settings.

    The embedded endpoint's port is only known once it runs, so the settings are asked when a client is made.
    """

    def get_client(self) -> "S3Client":
        """A boto3 client for the inbox and the archive."""
        access = Services(get_settings()).s3_access
        return _client(
            endpoint_url=self.endpoint_url or access.endpoint_url,
            region_name=self.region_name or access.region,
            aws_access_key_id=self.aws_access_key_id or access.access_key_id,
            aws_secret_access_key=self.aws_secret_access_key or access.secret_access_key,
            aws_session_token=self.aws_session_token,
            max_attempts=self.max_attempts,
            profile_name=self.profile_name,
            use_ssl=self.use_ssl,
            verify=self.verify,
        )


@functools.lru_cache(maxsize=8)
def _client(
    *,
    endpoint_url: str | None,
    profile_name: str | None,
    max_attempts: int,
    **configuration: Any,  # noqa: ANN401 - boto3's
) -> "S3Client":
    """A client, made once a process.

    By boto3 itself: dagster-aws makes a `boto3.resource` for the sake of its client, which takes 0.27 s of CPU instead
    of 0.08.
    """
    config = s3_config(endpoint_url, max_attempts=max_attempts)
    client: S3Client = s3_session(profile_name).client("s3", endpoint_url=endpoint_url, config=config, **configuration)
    return client


class PipelineResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic only for its own type checker
    """Everything that a step needs, made from the settings when it is first asked for."""

    s3: dg.ResourceDependency[InboxS3]

    @property
    def settings(self) -> Settings:
        """The process's settings."""
        return get_settings()

    @property
    def services(self) -> Services:
        """Database, S3 and keys."""
        return Services(self.settings, s3_client=self.s3.get_client)

    def flow(self, run_id: str) -> Flow:
        """The steps, noted under a run."""
        return Flow(self.services, run_id=run_id)

    def alerts(self) -> Alerts:
        """Slack and Datadog, each only where it is configured."""
        return make_alerts(self.settings)
