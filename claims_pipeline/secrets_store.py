"""Secrets that a setting names instead of holding: in a file, in AWS Secrets Manager, or encrypted by AWS KMS.

Belongs here: reading such references. Does not belong here: what the secrets are for. Nothing of a secret, and no text
that a service answered with, is in any message.
"""

from __future__ import annotations

import base64
import binascii
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from claims_pipeline.errors import SettingsError, Transient

if TYPE_CHECKING:
    from botocore.config import Config

FILE, SECRETS_MANAGER, KMS = "file:", "aws-secretsmanager:", "aws-kms:"

_OTHERS = stat.S_IWGRP | stat.S_IRWXO
"""Rights that a file with a secret must not give: the group may read it (Kubernetes' fsGroup), others nothing."""


def read_secret(value: str, *, setting: str, region: str) -> str:
    """The secret that a setting's value is, or names.

    Args:
        value: the secret itself, or `file:<path>`, `aws-secretsmanager:<name or ARN>`, `aws-kms:<base64 ciphertext>`.
        setting: the setting's name, for messages.
        region: of AWS, where neither an ARN nor boto3's own configuration says one.

    Raises:
        SettingsError: the reference leads to no secret; the message says why, and quotes no secret.
        Transient: the service cannot be reached now.
    """
    if value.startswith(FILE):
        secret = _file(Path(value.removeprefix(FILE)), setting)
    elif value.startswith(SECRETS_MANAGER):
        secret = _secrets_manager(value.removeprefix(SECRETS_MANAGER), setting, region)
    elif value.startswith(KMS):
        secret = _kms(value.removeprefix(KMS), setting, region)
    else:
        return value
    if not secret.strip():
        raise SettingsError(f"{setting}: what it names is empty")
    return secret.strip()


def _file(path: Path, setting: str) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise SettingsError(f"{setting}: {path} is no file")
        if found.st_mode & _OTHERS:
            raise SettingsError(
                f"{setting}: {path} can be read or changed by others (mode {stat.S_IMODE(found.st_mode):04o}): "
                "`chmod 600`, or `defaultMode: 0440` for a secret that Kubernetes mounts"
            )
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{setting}: there is no file {path}") from None
    except OSError as error:
        raise SettingsError(f"{setting}: {path} cannot be read ({type(error).__name__})") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{setting}: {path} does not hold text") from None


def _secrets_manager(name: str, setting: str, region: str) -> str:
    import boto3  # 0.3 s that those who keep keys elsewhere need not spend

    what = f"{setting}: AWS Secrets Manager, secret {name}"
    parts = name.split(":")
    with _aws_errors(what):
        session = boto3.session.Session()
        where = parts[3] if name.startswith("arn:") and len(parts) > 3 else session.region_name or region
        client = session.client("secretsmanager", region_name=where, config=_patience())
        answer = client.get_secret_value(SecretId=name)
    if "SecretString" not in answer:
        raise SettingsError(f"{what}: it is binary; store the ring as text")
    return str(answer["SecretString"])


def _kms(ciphertext: str, setting: str, region: str) -> str:
    import boto3

    what = f"{setting}: AWS KMS"
    try:
        blob = base64.b64decode(ciphertext.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError(f"{what}: the ciphertext is not base64") from None
    with _aws_errors(what):
        session = boto3.session.Session()
        client = session.client("kms", region_name=session.region_name or region, config=_patience())
        plain = client.decrypt(CiphertextBlob=blob)["Plaintext"]
    try:
        return bytes(plain).decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{what}: what it decrypts to is no text") from None


def _patience() -> Config:
    """Of one attempt; botocore's own is a minute, five times, before a process says that it has no keys."""
    from botocore.config import Config

    return Config(connect_timeout=5, read_timeout=10)


@contextmanager
def _aws_errors(what: str) -> Iterator[None]:
    """Turn errors of AWS into ours; of what it answered only the code is told."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
    from botocore.exceptions import ConnectionError as BotoConnectionError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or "Throttl" in code:
            raise Transient(f"{what}: it failed ({code}); it may not if tried again") from None
        raise SettingsError(f"{what}: refused ({code})") from None
    except NoCredentialsError:
        raise SettingsError(f"{what}: no credentials; give this process a role, or AWS_ACCESS_KEY_ID") from None
    except (HTTPClientError, BotoConnectionError) as error:
        raise Transient(f"{what}: it cannot be reached ({type(error).__name__})") from None
    except BotoCoreError as error:
        raise SettingsError(f"{what}: {type(error).__name__}") from None
