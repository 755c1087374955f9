"""Key rings: versioned secret keys, and what is sealed with them.

Belongs here: the written form of a ring, and sealing (AES-256-GCM). Does not belong here: where rings are kept
(settings, state folder), and tokens (`treat`). No key, and nothing of a malformed ring, is in any message or repr.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from claims_pipeline.errors import ClaimsPipelineError, SettingsError

KEY_BYTES = 32
_NONCE_BYTES = 12  # what GCM is defined for; random ones are safe for 2^32 seals of one key (NIST SP 800-38D 8.3)
_VERSION = re.compile(r"[A-Za-z0-9]{1,16}")


@dataclass(frozen=True)
class KeyRing:
    """Versioned keys of one purpose, oldest first. The last seals and signs; all of them open.

    Attributes:
        keys: (version, key) pairs; a version is 1 to 16 letters and digits, a key 32 bytes.
    """

    keys: tuple[tuple[str, bytes], ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Raise SettingsError for an empty ring, a malformed version or key, or a version that occurs twice."""
        versions = self.versions
        if not versions:
            raise SettingsError("the key ring is empty; make one with make_key_ring()")
        if any(not _VERSION.fullmatch(v) for v in versions) or any(len(key) != KEY_BYTES for _, key in self.keys):
            raise SettingsError(
                "malformed key ring: expected '<version>:<base64 of 32 bytes>', separated by commas, with versions of "
                "1 to 16 letters and digits"
            )
        if len(set(versions)) != len(versions):
            raise SettingsError("malformed key ring: a version occurs twice")

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read a ring in the form 'v1:<base64 of 32 bytes>,v2:...' (standard or URL-safe base64).

        Raises:
            SettingsError: it is malformed; nothing of it is quoted.
        """
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        return cls(tuple(_entry(entry) for entry in entries))

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions, oldest first."""
        return tuple(version for version, _ in self.keys)

    @property
    def current(self) -> tuple[str, bytes]:
        """Version and key for new seals and tokens: the last of the ring."""
        return self.keys[-1]

    def key(self, version: str) -> bytes:
        """The key of a version.

        Raises:
            SettingsError: the ring lacks the version.
        """
        for known, key in self.keys:
            if known == version:
                return key
        raise SettingsError(f"the key ring has no version {version!r}; it has {', '.join(self.versions)}")


@dataclass(frozen=True)
class Keys:
    """The two rings that `validate_dump` works with.

    Attributes:
        token: signs the tokens that stand for identifiers.
        quarantine: seals quarantined rows.
    """

    token: KeyRing
    quarantine: KeyRing


def make_key_ring() -> str:
    """A fresh ring with one random key, version v1, in the form that `KeyRing.parse` reads."""
    return "v1:" + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def seal(plain: bytes, *, ring: KeyRing, context: str) -> tuple[str, bytes]:
    """Seal bytes with the ring's current key by AES-256-GCM.

    Args:
        plain: what is sealed.
        ring: its last key is used.
        context: where the sealed bytes belong ("sender/dataset:row"); they open under the same context only.

    Returns:
        The key's version, and nonce (12 bytes), ciphertext and tag (16 bytes) in one.
    """
    version, key = ring.current
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return version, nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def unseal(sealed: bytes, *, ring: KeyRing, version: str, context: str) -> bytes:
    """Open what `seal` sealed.

    Raises:
        SettingsError: the ring lacks the version.
        ClaimsPipelineError: another key, another context, or altered bytes.
    """
    try:
        return AESGCM(ring.key(version)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError):
        raise ClaimsPipelineError(
            f"the sealed row does not open with key version {version!r}: altered, moved, or sealed with another key"
        ) from None


def _entry(entry: str) -> tuple[str, bytes]:
    version, _, encoded = entry.partition(":")
    try:
        return version, base64.b64decode(encoded.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return version, b""  # refused by KeyRing for its length, without the text in any message or cause
