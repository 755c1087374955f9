"""Keys that are kept elsewhere: in files, in AWS Secrets Manager, encrypted by AWS KMS; and every way to fail."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from claims_pipeline.errors import ClaimsPipelineError, SettingsError, Transient
from claims_pipeline.frames import make_key_ring
from claims_pipeline.secrets_store import read_secret
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings

RING = make_key_ring()
KEY = RING.partition(":")[2]


def read(value: str) -> str:
    return read_secret(value, setting="CLAIMS_TOKEN_KEYS", region="us-west-2")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of an AWS of the tests' own, on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """This process as one with a role on that AWS, and without a region."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    return server


def secret(name: str, region: str = "us-west-2", **content: object) -> str:
    """Store a secret; returns its ARN."""
    manager: Any = boto3.client("secretsmanager", region_name=region)
    return str(manager.create_secret(Name=name, **content)["ARN"])


def encrypted(plain: bytes) -> str:
    kms: Any = boto3.client("kms", region_name="us-west-2")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    return base64.b64encode(kms.encrypt(KeyId=key, Plaintext=plain)["CiphertextBlob"]).decode()


def kept(folder: Path, text: str = RING, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


# ---------------------------------------------------------------------------------------------- where they are


def test_a_ring_in_the_environment_is_itself() -> None:
    assert read(RING) == RING


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_file_that_only_its_owner_and_group_can_read_is_read(tmp_path: Path, mode: int) -> None:
    assert read(f"file:{kept(tmp_path, RING + chr(10), mode)}") == RING


def test_a_link_to_such_a_file_is_followed_as_kubernetes_mounts_secrets(tmp_path: Path) -> None:
    link = tmp_path / "token_keys"
    link.symlink_to(kept(tmp_path))
    assert read(f"file:{link}") == RING


def test_a_secret_is_found_by_its_name_in_the_region_of_the_settings(aws: str) -> None:
    secret("ring-by-name", SecretString=RING)
    assert read("aws-secretsmanager:ring-by-name") == RING


def test_a_secret_is_found_by_its_arn_in_the_region_that_this_names(aws: str) -> None:
    arn = secret("ring-by-arn", "eu-west-1", SecretString=RING)
    assert read(f"aws-secretsmanager:{arn}") == RING


def test_a_ciphertext_is_decrypted_by_kms(aws: str) -> None:
    assert read(f"aws-kms:{encrypted(RING.encode())}") == RING


def test_the_services_read_their_rings_from_there(aws: str, tmp_path: Path) -> None:
    secret("quarantine-ring", "us-east-1", SecretString=make_key_ring())
    settings = Settings(
        state_dir=tmp_path,
        token_keys=SecretStr(f"file:{kept(tmp_path, 'v1:' + KEY + ',v2:' + KEY)}"),
        quarantine_keys=SecretStr("aws-secretsmanager:quarantine-ring"),
    )
    keys = Services(settings).keys
    assert (keys.token.versions, keys.quarantine.versions) == (("v1", "v2"), ("v1",))


# ---------------------------------------------------------------------------------------------- ways to fail


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="by others"):
        read(f"file:{kept(tmp_path, mode=mode)}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CLAIMS_TOKEN_KEYS: there is no file"):
        read(f"file:{tmp_path / 'gone'}")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no file"):
        read(f"file:{tmp_path}")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = kept(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="does not hold text"):
        read(f"file:{path}")


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="empty"):
        read(f"file:{kept(tmp_path, ' ')}")


def test_a_secret_that_is_not_there(aws: str) -> None:
    with pytest.raises(SettingsError, match=r"secret nowhere: refused \(ResourceNotFoundException\)"):
        read("aws-secretsmanager:nowhere")


def test_a_secret_that_is_binary(aws: str) -> None:
    secret("binary", SecretBinary=b"x")
    with pytest.raises(SettingsError, match="binary"):
        read("aws-secretsmanager:binary")


def test_a_ciphertext_that_is_not_base64(aws: str) -> None:
    with pytest.raises(SettingsError, match="not base64"):
        read("aws-kms:%%%")


def test_a_ciphertext_that_kms_does_not_know(aws: str) -> None:
    with pytest.raises(SettingsError, match=r"AWS KMS: refused \("):
        read("aws-kms:" + base64.b64encode(b"0" * 64).decode())


def test_a_ciphertext_of_something_else(aws: str) -> None:
    with pytest.raises(SettingsError, match="no text"):
        read(f"aws-kms:{encrypted(bytes([255, 254]))}")


def test_without_credentials(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(SettingsError, match="no credentials"):
        read("aws-secretsmanager:x")


def test_a_service_that_cannot_be_reached_may_be_asked_again(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(Transient, match="cannot be reached"):
            read("aws-secretsmanager:x")


@pytest.mark.parametrize(
    "ring",
    [f"v1:{KEY},v1:{KEY}", f"v1={KEY}", f"{KEY}", f"v1:{KEY[:-8]}"],
    ids=["twice", "no colon", "no version", "too short"],  # the key itself is another in each process
)
def test_no_message_about_a_malformed_ring_quotes_any_of_it(tmp_path: Path, ring: str) -> None:
    settings = Settings(
        state_dir=tmp_path, token_keys=SecretStr(f"file:{kept(tmp_path, ring)}"), quarantine_keys=SecretStr(RING)
    )
    with pytest.raises(ClaimsPipelineError) as raised:
        _ = Services(settings).keys
    assert KEY[:8] not in str(raised.value)
