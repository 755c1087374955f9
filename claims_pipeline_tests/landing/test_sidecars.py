"""What sidecars say, as senders write them, and names that are no dumps."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.sidecars import Manifest, Promise
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.landing import names, sidecars

HEX = "0123456789abcdef" * 4
OTHER = "f" * 64
NAME, SOURCE = "claims.csv", "claims.csv.sha256"


@pytest.mark.parametrize(
    "text",
    [
        HEX,
        f"{HEX}\n",
        HEX.upper(),
        f"{HEX}  claims.csv\n",
        f"{HEX} *claims.csv\r\n",
        f"\\{HEX}  claims.csv\n",
        f"{HEX}  out/2026/claims.csv\n",
        f"\ufeff{HEX}  claims.csv\n",
        f"{OTHER}  other.csv\n{HEX}  claims.csv\n",
    ],
)
def test_a_checksum_file_in_any_of_its_forms_is_understood(text: str) -> None:
    assert sidecars.checksum(text.encode(), name=NAME, source=SOURCE) == Promise(SOURCE, sha256=HEX)


@pytest.mark.parametrize("text", ["", "no sum", HEX[:-1], HEX + "0", f"{OTHER}  a.csv\n{HEX}  b.csv\n", "\xff\xfe"])
def test_a_checksum_file_without_the_dumps_checksum_is_refused(text: str) -> None:
    with pytest.raises(BadDump, match="holds no SHA-256 of it"):
        sidecars.checksum(text.encode("latin-1"), name=NAME, source=SOURCE)


@pytest.mark.parametrize("total", ['"12.50"', "12.50", '"+12.50"'])
def test_a_control_total_is_exact_however_it_is_written(total: str) -> None:
    body = f'{{"files": {{"claims.csv": {{"totals": {{"fee": {total}}}}}}}}}'.encode()
    assert sidecars.manifest(body, source="m") == {NAME: Promise("m", totals={"fee": Decimal("12.50")})}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"files": []},
        {"files": {NAME: 3}},
        {"files": {NAME: {"rows": -1}}},
        {"files": {NAME: {"rows": "many"}}},
        {"files": {NAME: {"rows": True}}},
        {"files": {NAME: {"sha256": "short"}}},
        {"files": {NAME: {"totals": {"fee": "1e9"}}}},
        {"files": {NAME: {"totals": ["fee"]}}},
    ],
)
def test_what_has_not_the_agreed_form_is_no_manifest(content: object) -> None:
    assert sidecars.manifest(json.dumps(content).encode(), source="m") is None


def test_half_a_manifest_is_no_manifest() -> None:
    assert sidecars.manifest(b'{"files": {"claims.csv"', source="m") is None


def test_promises_come_back_from_the_archive_as_they_were() -> None:
    told = [Promise("m", rows=3, totals={"fee": Decimal("0.10")}), Promise(SOURCE, sha256=HEX)]
    assert sidecars.unkept(json.loads(json.dumps(sidecars.kept(told)))) == told


@pytest.mark.parametrize(
    ("name", "key", "is_it"),
    [
        ("manifest.json", "526/a/manifest.json", True),
        ("manifest.json", "526/a/manifest-json", False),
        ("/m/%Y-%m-%d.json", "526/m/2026-05-04.json", True),
        ("/m/%Y-%m-%d.json", "526/a/m/2026-05-04.json", False),
    ],
)
def test_a_manifest_is_known_by_its_name(name: str, key: str, is_it: bool) -> None:
    assert Manifest(name).is_at(key, prefix="526/") is is_it


@pytest.mark.parametrize(
    "key",
    [
        "526/in_progress/claims.csv",
        "526/claims.csv.tmp",
        "526/claims.csv.TMP",
        "526/claims.csv.part",
        "526/claims.csv.crdownload",
        "526/claims.csv~",
        "526/._claims.csv",
        "526/2026/_SUCCESS",
        "526/2026/",
        "526/claims.csv.sha256",
    ],
)
def test_a_name_that_is_no_dump_is_ignored(key: str) -> None:
    assert names.is_ignored(SENDER, key)


@pytest.mark.parametrize(
    "key",
    [
        "526/claims.csv",
        "526/not_in_progress/claims.csv",
        "526/claims.part.csv",
        "526/part-00000.csv",
        "526/claims_tmp",
        "526/~claims.csv",
        "526/_claims.csv",
        "526/x_SUCCESS",
        "526/_SUCCESS/claims.csv",
        "526/claims.sha256.csv",
    ],
)
def test_a_name_that_only_looks_like_it_is_not_ignored(key: str) -> None:
    assert not names.is_ignored(SENDER, key)
