"""A dump that was not decrypted is refused whole, and told by the names of its columns only."""

from __future__ import annotations

import datetime as dt
import io
import re

import pytest

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.frames import KeyRing, make_key_ring, validate_dump
from claims_pipeline.frames.keys import Keys
from claims_pipeline_tests.canary.dumps import DAY

LOCKBOX = ("ssn_ciphertext", "form_json_ciphertext", "auth_headers_json_ciphertext", "encrypted_kms_key")
ATTR_ENCRYPTED = ("encrypted_ssn", "encrypted_form_json", "encrypted_ssn_iv", "ssn_iv")
"""Names that the two libraries give to columns of ciphertext (feeds.md 1.2)."""

DAY_OF = dt.date.fromisoformat(DAY)
STAMP = dt.datetime(2026, 5, 4, 5, tzinfo=dt.UTC)
RING = KeyRing.parse(make_key_ring())


def read(feed: Feed, *more: str) -> BadDump:
    """The refusal of a dump of one row that has these columns besides those of the contract."""
    names = [*(column.name for column in feed.columns), *more]
    body = f"{','.join(names)}\n{','.join('Zqxcanary' for _ in names)}\n".encode()
    with pytest.raises(BadDump) as caught:
        validate_dump(
            io.BytesIO(body), feed=feed, compression=None, stamp=STAMP, delivery_day=DAY_OF, keys=Keys(RING, RING),
            rows_file=io.BytesIO(), rejects_file=io.BytesIO(),
        )  # fmt: skip
    return caught.value


@pytest.mark.parametrize("feed", feeds_of(SENDER.name), ids=lambda feed: feed.dataset)
@pytest.mark.parametrize("name", [*LOCKBOX, *ATTR_ENCRYPTED])
def test_a_dump_with_ciphertext_is_refused(feed: Feed, name: str) -> None:
    assert read(feed, name).rule == "contract.refused_column"


@pytest.mark.parametrize("name", ["SSN_CIPHERTEXT", "Encrypted_ssn", " ssn_ciphertext ", "ssn_IV"])
def test_its_spelling_does_not_matter(name: str) -> None:
    assert read(feeds_of(SENDER.name)[0], name).rule == "contract.refused_column"


def test_the_refusal_names_the_column_and_no_value() -> None:
    text = str(read(feeds_of(SENDER.name)[0], "ssn_ciphertext"))
    assert ("ssn_ciphertext" in text, "Zqxcanary" in text) == (True, False)


@pytest.mark.parametrize("feed", feeds_of(SENDER.name), ids=lambda feed: feed.dataset)
def test_every_pattern_of_a_feed_is_met_by_a_name_that_is_tried(feed: Feed) -> None:
    assert [p for p in feed.refuse if not any(re.search(p, name) for name in (*LOCKBOX, *ATTR_ENCRYPTED))] == []
