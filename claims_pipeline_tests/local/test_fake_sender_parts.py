"""The fake sender's parts: draws, texts, dialects, sinks, broken files."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow
import pyarrow.csv
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from claims_pipeline.feeds import all_feeds, feed_named
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.local.fake_sender import Dialect, Plan, Sink, fields, folder_sink, s3_sink, special
from claims_pipeline.local.fake_sender.dialect import TIMESTAMP_FORMS
from claims_pipeline.local.fake_sender.dice import Dice, table
from claims_pipeline.local.fake_sender.sinks import PART_BYTES
from claims_pipeline_tests.fix_services import bucket, s3, services
from claims_pipeline_tests.local.fake_sender_dumps import generated

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["bucket", "s3", "services"]

DAY = dt.date(2024, 5, 6)
NUMBERS = st.lists(st.integers(0, 2**50), min_size=1, max_size=50)
MOMENTS = st.lists(
    st.timedeltas(dt.timedelta(0), dt.timedelta(days=36_000)).map(
        lambda since: dt.datetime(1990, 1, 1, tzinfo=dt.UTC) + since
    ),
    min_size=1,
    max_size=20,
)
DIALECTS = st.builds(
    Dialect,
    timestamps=st.sampled_from(TIMESTAMP_FORMS),
    booleans=st.sampled_from(["tf", "truefalse"]),
    enums=st.sampled_from(["number", "string"]),
    null=st.sampled_from(["", "\\N"]),
    quoting=st.sampled_from(["minimal", "all"]),
    bom=st.booleans(),
    eol=st.sampled_from(["\n", "\r\n"]),
    gzip=st.booleans(),
)

# ---------------------------------------------------------------------------------------------- dice


@given(numbers=NUMBERS, seed=st.integers(0, 2**40), bound=st.integers(1, 2**32))
@settings(deadline=None)
def test_a_draw_is_below_its_bound_and_the_same_again(numbers: list[int], seed: int, bound: int) -> None:
    drawn = Dice(seed).below("x", fields.as_ints(numbers), bound)
    assert ((drawn >= 0) & (drawn < bound)).all()
    assert (drawn == Dice(seed).below("x", fields.as_ints(numbers), bound)).all()


def test_different_numbers_draw_different_bits() -> None:
    bits = Dice(1).bits("x", np.arange(100_000, dtype=np.int64))
    assert len(np.unique(bits)) == len(bits)


def test_a_chance_happens_as_often_as_it_says() -> None:
    share = Dice(1).chance("x", np.arange(100_000, dtype=np.int64), 0.25).mean()
    assert 0.24 < share < 0.26


def test_weights_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="1000"):
        table([500, 500])


# ---------------------------------------------------------------------------------------------- fields and dialects


@given(numbers=NUMBERS, width=st.integers(1, 17))
@settings(deadline=None)
def test_digits_are_the_last_ones_padded_with_zeros(numbers: list[int], width: int) -> None:
    column = fields.fixed(fields.digits(fields.as_ints(numbers), width))
    assert column.to_pylist() == [str(number).zfill(20)[-width:].encode() for number in numbers]


@given(numbers=NUMBERS)
@settings(deadline=None)
def test_uuids_are_version_4(numbers: list[int]) -> None:
    bits = fields.as_ints(numbers).astype(np.uint64)
    for text in fields.uuids(bits, bits).to_pylist():
        made = uuid.UUID(text.decode())
        assert (made.version, made.variant, str(made)) == (4, uuid.RFC_4122, text.decode())


@given(moments=MOMENTS, form=st.sampled_from(TIMESTAMP_FORMS))
@settings(deadline=None)
def test_times_are_what_python_reads_in_every_dialect(moments: list[dt.datetime], form: str) -> None:
    micros = [(moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) for moment in moments]
    texts = Dialect(timestamps=form).times(fields.as_ints(micros)).to_pylist()  # type: ignore[arg-type]  # a parameter of the test
    unit = {"postgres": 1, "iso_millis": 1000}.get(form, 10**6)
    for moment, text in zip(moments, texts, strict=True):
        read = dt.datetime.fromisoformat(text.decode().replace(" UTC", "Z"))
        assert (read if read.tzinfo else read.replace(tzinfo=dt.UTC)) == moment.replace(
            microsecond=moment.microsecond // unit * unit
        )


@given(dialect=DIALECTS)
@settings(deadline=None, max_examples=15)
def test_texts_and_nulls_are_the_same_in_every_dialect(dialect: Dialect) -> None:
    spelled = {"created_at", "updated_at", "application_expiration_date", "submit_endpoint"}
    spelled |= {column.name for column in feed_named("va_form526/form526_submissions").columns
                if column.arrow == pyarrow.bool_()}  # fmt: skip
    spelled.add("backup_submitted_claim_status")
    plain, other = (_read(chosen).drop_columns(sorted(spelled)) for chosen in (Dialect(), dialect))
    assert other.equals(plain)


def _read(dialect: Dialect) -> pyarrow.Table:
    world = generated(Plan(DAY, days=1, rows=150, dirt=0, dialect=dialect), "form526_submissions")
    data = world.plain(world.manifest.dumps[0])
    names = [column.name for column in feed_named("va_form526/form526_submissions").columns]
    return pyarrow.csv.read_csv(
        io.BytesIO(data),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pyarrow.string()),
            null_values=["", "\\N"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


# ---------------------------------------------------------------------------------------------- sinks


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    sink = folder_sink(tmp_path)
    with sink("526/whole.csv") as file:
        file.write(b"a\n")
    with pytest.raises(RuntimeError):
        _break_off(sink, b"a\n")
    assert [path.name for path in (tmp_path / "526").iterdir()] == ["whole.csv"]


@pytest.mark.parametrize("size", [0, 10, PART_BYTES, 2 * PART_BYTES + 1])
def test_an_object_holds_what_was_written(s3: S3Client, bucket: str, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    with s3_sink(s3, bucket)("526/object.csv") as file:
        for start in range(0, size, 5 << 20):
            file.write(data[start : start + (5 << 20)])
    assert s3.get_object(Bucket=bucket, Key="526/object.csv")["Body"].read() == data


def test_an_upload_that_fails_leaves_no_object(s3: S3Client, bucket: str) -> None:
    with pytest.raises(RuntimeError):
        _break_off(s3_sink(s3, bucket), bytes(PART_BYTES))
    with pytest.raises(ClientError):
        s3.head_object(Bucket=bucket, Key="526/half.csv")


def _break_off(sink: Sink, data: bytes) -> None:
    with sink("526/half.csv") as file:
        file.write(data)
        raise RuntimeError


# ---------------------------------------------------------------------------------------------- broken files

KINDS: tuple[Callable[[dt.date], tuple[str, bytes]], ...] = (
    special.zero_bytes, special.header_only, special.ciphertext_column, special.unknown_column,
    special.missing_required_column, special.not_a_csv, special.truncated_gzip,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_broken_file_has_the_name_of_a_sound_one(kind: Callable[[dt.date], tuple[str, bytes]]) -> None:
    key, _ = kind(DAY)
    feed = feed_named("va_form526/form526_submissions")
    assert any(re.search(pattern, key.removeprefix(SENDER.prefix)) for pattern in feed.file_names)


def test_zero_bytes_are_zero() -> None:
    assert special.zero_bytes(DAY)[1] == b""


@pytest.mark.parametrize("feed", [feed.dataset for feed in all_feeds() if feed.sender == SENDER])
def test_a_header_alone_is_one_line_with_every_column(feed: str) -> None:
    lines = special.header_only(DAY, dataset=feed)[1].decode().splitlines()
    assert lines == [",".join(column.name for column in feed_named(f"va_form526/{feed}").columns)]


def test_ciphertext_is_a_column_that_the_contract_refuses() -> None:
    header = _header(special.ciphertext_column(DAY)[1])
    refuse = feed_named("va_form526/form526_submissions").refuse
    assert any(re.search(pattern, header[-1]) for pattern in refuse)


def test_the_missing_column_is_required_and_missing() -> None:
    known = {column.name for column in feed_named("va_form526/form526_submissions").columns if column.facts.required}
    assert known - set(_header(special.missing_required_column(DAY)[1])) == {"updated_at"}


def test_the_unknown_column_is_in_no_contract() -> None:
    known = {column.name for column in feed_named("va_form526/form526_submissions").columns}
    assert set(_header(special.unknown_column(DAY)[1])) - known == {"favourite_colour"}


def test_the_unknown_dataset_is_in_no_contract() -> None:
    key, _ = special.unknown_dataset(DAY)
    assert not any(
        re.search(pattern, key.removeprefix(SENDER.prefix)) for feed in all_feeds() for pattern in feed.file_names
    )


def test_noise_is_no_text() -> None:
    with pytest.raises(UnicodeDecodeError):
        special.not_a_csv(DAY)[1].decode()


def test_a_truncated_gzip_ends_too_early() -> None:
    with pytest.raises(EOFError):
        gzip.decompress(special.truncated_gzip(DAY)[1])


def _header(data: bytes) -> list[str]:
    return data.decode().splitlines()[0].split(",")
