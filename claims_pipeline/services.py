"""Connects the settings to real things: the database, S3, the keys. Embedded parts are started on first use.

Belongs here: choosing between embedded and configured, and handing out connections. Does not belong here: what is done
with them; reading settings at import.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import functools
import secrets
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from claims_pipeline import local, telemetry
from claims_pipeline.errors import SettingsError
from claims_pipeline.frames.keys import KeyRing, Keys, make_key_ring
from claims_pipeline.secrets_store import read_secret
from claims_pipeline.settings import Settings
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.roles import LOGINS, ensure_passwords, login_url

if TYPE_CHECKING:
    import boto3.session
    from botocore.config import Config
    from mypy_boto3_s3 import S3Client

    from claims_pipeline.landing.queue import Queue


@dataclass(frozen=True)
class S3Access:
    """How S3 is reached; None leaves the choice to boto3 (AWS's own endpoint, its search for credentials)."""

    endpoint_url: str | None
    region: str
    access_key_id: str | None
    secret_access_key: str | None


def s3_config(endpoint_url: str | None, *, max_attempts: int = 5) -> Config:
    """How every S3 client of ours behaves: retries, time-outs, checksums.

    Args:
        endpoint_url: of an S3 that is not AWS's own; None for AWS.
        max_attempts: how often a call is tried.
    """
    from botocore.config import Config  # 0.1 s that most commands need not spend

    config = Config(retries={"mode": "standard", "max_attempts": max_attempts}, connect_timeout=10, read_timeout=60)
    if endpoint_url is None:
        return config
    # Other endpoints, such as rclone's, hand out the checksum of the whole object with a part of it, and botocore then
    # refuses every ranged read.
    return config.merge(Config(response_checksum_validation="when_required"))


def s3_session(profile_name: str | None = None) -> boto3.session.Session:
    """A session whose clients read the times of a listing without trying all forms of a date.

    botocore lets dateutil guess each one; that is more than half of the time that a listing of many keys takes.

    Args:
        profile_name: of the AWS configuration; None for boto3's choice.
    """
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=profile_name)
    core.register_component("data_loader", _models())
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return boto3.session.Session(botocore_session=core)


@functools.cache
def _models() -> Any:  # noqa: ANN401 - botocore has no types
    """What botocore knows of AWS's services: 0.1 s of parsing JSON, once a process instead of once a client."""
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


def _moment(value: Any) -> dt.datetime:  # noqa: ANN401 - text or a number, as botocore hands it over
    from botocore.utils import parse_timestamp

    if isinstance(value, str) and value.endswith("Z"):
        with contextlib.suppress(ValueError):
            return dt.datetime.fromisoformat(value)
    return parse_timestamp(value)


class Services:
    """The parts that settings point to.

    Args:
        settings: names of everything.
        s3_client: makes the S3 client; Dagster passes its resource's. Default: boto3's, from the settings.
    """

    def __init__(self, settings: Settings, s3_client: Callable[[], S3Client] | None = None) -> None:
        self.settings = settings
        telemetry.set_up(settings.log_format)
        self._s3_client = s3_client
        self._set_up = ""  # the embedded cluster whose roles we know to be set up
        self._passwords: dict[Role, str] = {}

    @property
    def embedded_database(self) -> bool:
        """Whether the warehouse is the embedded Postgres."""
        return self.settings.database_url is None

    @property
    def embedded_s3(self) -> bool:
        """Whether S3 is the embedded endpoint."""
        return self.settings.s3_endpoint_url is None

    @property
    def database_url(self) -> str:
        """URL of the warehouse for runs (claims_loader), password included: not for logs."""
        if self.settings.database_url is not None:
            return self.settings.database_url.get_secret_value()
        return self.embedded_url(Role.LOADER)

    @property
    def owner_database_url(self) -> str:
        """URL of the warehouse for what runs may not: migrations, backups, drills, erasure. Not for logs."""
        if self.settings.database_url is None:
            return local.ensure_postgres(self.settings.state_dir)
        return (self.settings.owner_database_url or self.settings.database_url).get_secret_value()

    @property
    def bi_database_url(self) -> str:
        """URL of the warehouse for the dashboard (bi_reader). Not for logs.

        Raises:
            SettingsError: none is set although the database is a real one.
        """
        if self.settings.bi_database_url is not None:
            return self.settings.bi_database_url.get_secret_value()
        if self.embedded_database:
            return self.embedded_url(Role.BI_READER)
        raise SettingsError(
            "CLAIMS_BI_DATABASE_URL must be set when CLAIMS_DATABASE_URL is: the dashboard reads as bi_reader, "
            "never as who loads (docs/access.md)"
        )

    def embedded_url(self, role: Role) -> str:
        """URL of the embedded warehouse for one of its roles; sets up the roles, and what they may do, on first use."""
        superuser = local.ensure_postgres(self.settings.state_dir)
        if self._set_up != superuser:
            folder = self.settings.state_dir
            self._passwords = {
                one: local.kept_secret(folder, one.value, lambda: secrets.token_urlsafe(24)) for one in LOGINS
            }
            self._set_up_embedded(superuser)
            self._set_up = superuser
        return login_url(superuser, role, self._passwords[role])

    def _set_up_embedded(self, superuser: str) -> None:
        from claims_pipeline.warehouse.migrate import is_migrated, migrate  # with pandera: half a second

        with connect(superuser) as connection:
            if not is_migrated(connection):
                from claims_pipeline.feeds import all_feeds

                migrate(connection, all_feeds())
            ensure_passwords(connection, self._passwords)

    def database(self) -> AbstractContextManager[psycopg.Connection]:
        """A connection to the warehouse for runs: claims_loader, or a member.

        Raises:
            Transient: it cannot be reached.
        """
        return connect(self.database_url)

    def owner_database(self) -> AbstractContextManager[psycopg.Connection]:
        """A connection to the warehouse for what runs may not; see `owner_database_url`.

        Raises:
            Transient: it cannot be reached.
        """
        return connect(self.owner_database_url)

    @property
    def s3_access(self) -> S3Access:
        """How S3 is reached."""
        s = self.settings
        if s.s3_endpoint_url is None:
            endpoint = local.ensure_s3(s.state_dir)
            return S3Access(endpoint.url, endpoint.region, endpoint.access_key_id, endpoint.secret_access_key)
        secret = s.s3_secret_access_key.get_secret_value() if s.s3_secret_access_key else None
        url = None if s.s3_endpoint_url == "aws" else s.s3_endpoint_url
        return S3Access(url, s.s3_region, s.s3_access_key_id, secret)

    @functools.cached_property
    def s3(self) -> S3Client:
        """The S3 client, made once; what it writes is encrypted as the settings ask."""
        from claims_pipeline.landing.s3 import encrypt_writes  # with boto3: 0.3 s that most commands need not spend

        client = self._make_s3()
        encrypt_writes(client, self.settings.s3_encryption, self.settings.s3_kms_key_id)
        return client

    def _make_s3(self) -> S3Client:
        if self._s3_client is not None:
            return self._s3_client()
        if self.embedded_s3:
            return local.s3_client(local.ensure_s3(self.settings.state_dir))
        access = self.s3_access
        return s3_session().client(
            "s3",
            endpoint_url=access.endpoint_url,
            region_name=access.region,
            aws_access_key_id=access.access_key_id,
            aws_secret_access_key=access.secret_access_key,
            config=s3_config(access.endpoint_url),
        )

    @functools.cached_property
    def events_queue(self) -> Queue | None:
        """The queue of the inbox's events; None where none is set.

        Raises:
            SettingsError: the setting is no URL.
        """
        s = self.settings
        if not s.events_queue_url:
            return None
        from claims_pipeline.landing.queue import Queue  # with botocore, as above

        secret = s.s3_secret_access_key.get_secret_value() if s.s3_secret_access_key else None
        return Queue(s.events_queue_url, region=s.s3_region, access_key_id=s.s3_access_key_id, secret_access_key=secret)

    def postgres_program(self, name: str) -> Path:
        """Where pg_dump or pg_restore is: in CLAIMS_PG_BIN, else on PATH, else the embedded server's own.

        Raises:
            SettingsError: CLAIMS_PG_BIN has no such program.
        """
        if self.settings.pg_bin is not None:
            program = self.settings.pg_bin / name
            if not program.is_file():
                raise SettingsError(f"CLAIMS_PG_BIN has no {name}: set it to the folder of Postgres' client programs")
            return program
        found = None if self.embedded_database else shutil.which(name)
        return Path(found) if found else local.postgres_program(name)

    @functools.cached_property
    def keys(self) -> Keys:
        """The keys of tokens and quarantine, read once: from the settings, or from where these say that they are.

        Raises:
            SettingsError: none are set although the database is a real one, they are malformed, or cannot be read.
            Transient: where they are kept cannot be reached now.
        """
        s = self.settings
        if s.token_keys is not None and s.quarantine_keys is not None:
            return Keys(
                token=self._ring("CLAIMS_TOKEN_KEYS", s.token_keys.get_secret_value()),
                quarantine=self._ring("CLAIMS_QUARANTINE_KEYS", s.quarantine_keys.get_secret_value()),
            )
        if not self.embedded_database:
            raise SettingsError(
                "CLAIMS_TOKEN_KEYS and CLAIMS_QUARANTINE_KEYS must be set when CLAIMS_DATABASE_URL is: tokens "
                "made with a key that is lost cannot be joined again. `claims-pipeline keys` prints new ones."
            )
        return Keys(token=self._embedded_ring("token"), quarantine=self._embedded_ring("quarantine"))

    def signing_with(self, version: str) -> Services:
        """These parts, with an older key of the token ring as the one that makes tokens.

        Raises:
            SettingsError: the ring lacks the version.
        """
        other = copy.copy(self)
        ring = self.keys.token
        rest = tuple(pair for pair in ring.keys if pair[0] != version)
        token = KeyRing((*rest, (version, ring.key(version))))
        other.__dict__["keys"] = Keys(token=token, quarantine=self.keys.quarantine)
        return other

    def _ring(self, setting: str, value: str) -> KeyRing:
        return KeyRing.parse(read_secret(value, setting=setting, region=self.settings.s3_region))

    def _embedded_ring(self, name: str) -> KeyRing:
        return KeyRing.parse(local.kept_secret(self.settings.state_dir, name, make_key_ring))
