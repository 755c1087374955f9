"""Key rings are parsed strictly and never shown; seals open only with the same key at the same place."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.errors import ClaimsPipelineError, SettingsError
from claims_pipeline.frames import KeyRing, make_key_ring, seal, unseal

from .samples import relaxed

FIRST, SECOND = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


def test_the_last_key_of_a_ring_is_the_current_one() -> None:
    assert KeyRing.parse(f"v1:{FIRST}, v2:{SECOND}").current == ("v2", b"\2" * 32)


def test_url_safe_base64_is_read_too() -> None:
    key = b"\xfb\xff" * 16
    assert KeyRing.parse("v1:" + base64.urlsafe_b64encode(key).decode()).key("v1") == key


def test_fresh_rings_differ() -> None:
    assert KeyRing.parse(make_key_ring()) != KeyRing.parse(make_key_ring())


@pytest.mark.parametrize(
    "text",
    ["", "v1", "v1:", FIRST, f"v1:{FIRST[:-4]}", f"v 1:{FIRST}", f":{FIRST}", "v1:Zm9vYmFy", f"v1:{FIRST},v1:{SECOND}",
     "v1:geheim!geheim!geheim!"],
)  # fmt: skip
def test_a_malformed_ring_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        KeyRing.parse(text)
    assert len(text) < 3 or text not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "geheim" not in str(caught.value)


def test_a_ring_does_not_show_its_keys() -> None:
    assert repr(KeyRing.parse(f"v1:{FIRST}")) == "KeyRing()"


@relaxed
@given(st.binary(max_size=300))
def test_a_seal_opens_to_what_was_sealed(plain: bytes) -> None:
    ring = KeyRing.parse(f"v1:{FIRST},v2:{SECOND}")
    version, sealed = seal(plain, ring=ring, context="a/b:1")
    assert version == "v2"
    assert unseal(sealed, ring=ring, version=version, context="a/b:1") == plain


def test_an_old_seal_opens_after_a_new_key_was_added() -> None:
    version, sealed = seal(b"x", ring=KeyRing.parse(f"v1:{FIRST}"), context="c")
    assert unseal(sealed, ring=KeyRing.parse(f"v1:{FIRST},v2:{SECOND}"), version=version, context="c") == b"x"


def test_a_seal_does_not_open_at_another_place() -> None:
    ring = KeyRing.parse(f"v1:{FIRST}")
    version, sealed = seal(b"x", ring=ring, context="a/b:1")
    with pytest.raises(ClaimsPipelineError):
        unseal(sealed, ring=ring, version=version, context="a/b:2")


def test_an_altered_seal_does_not_open() -> None:
    ring = KeyRing.parse(f"v1:{FIRST}")
    version, sealed = seal(b"x", ring=ring, context="c")
    with pytest.raises(ClaimsPipelineError):
        unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), ring=ring, version=version, context="c")


def test_an_unknown_version_is_named() -> None:
    with pytest.raises(SettingsError, match="v9"):
        KeyRing.parse(f"v1:{FIRST}").key("v9")
