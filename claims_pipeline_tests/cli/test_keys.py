"""`claims-pipeline keys status` and `keys retoken` as a terminal sees them."""

from __future__ import annotations

import pytest

from claims_pipeline.frames import make_key_ring
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import SUBMISSIONS, CodeLocation, Configure

FIRST = make_key_ring()
BOTH = f"{FIRST},v2:{make_key_ring().partition(':')[2]}"
SECOND = BOTH.partition(",")[2]


@pytest.fixture
def rotated(location: CodeLocation, configure: Configure) -> CodeLocation:
    """A loaded dump of submissions with dirty rows under v1, and v2 in the token ring."""
    configure(token_keys=FIRST)
    location.drop(SUBMISSIONS, rows=40, dirt=0.05)
    assert call("catch-up").exit_code in (0, 1)
    configure(token_keys=BOTH)
    return location


def versions() -> set[str]:
    return {use["version"] for use in call_json("keys", "status")["uses"] if use["key"] == "token"}


def test_status_tells_the_rings_and_which_rows_use_which_key(rotated: CodeLocation) -> None:
    found = call_json("keys", "status")
    assert (found["rings"]["token"], versions()) == (["v1", "v2"], {"v1"})
    assert {"quarantine"} <= {use["key"] for use in found["uses"]}


def test_status_says_what_may_go(rotated: CodeLocation) -> None:
    before = call("keys", "status").stdout
    call("keys", "retoken")
    after = call("keys", "status").stdout
    assert ("may go: none" in before.splitlines()[-2], "may go: v1" in after.splitlines()[-2]) == (True, True)


def test_retoken_brings_all_rows_to_the_new_key_and_says_how_many(rotated: CodeLocation) -> None:
    result = call("keys", "retoken", "--sender", "va_form526")
    assert (result.exit_code, "from key v1 to v2" in result.stdout, versions()) == (0, True, {"v2"})


def test_a_dry_run_changes_nothing(rotated: CodeLocation) -> None:
    result = call("keys", "retoken", "--dry-run")
    assert (result.exit_code, "would be brought" in result.stdout, versions()) == (0, True, {"v1"})


def test_a_key_that_is_in_use_and_has_left_the_ring_is_told(rotated: CodeLocation, configure: Configure) -> None:
    configure(token_keys=SECOND)
    assert "in use, and not in the token ring: v1" in call("keys", "status").stdout
    result = call("keys", "retoken")
    assert (result.exit_code, "lacks" in " ".join(result.stderr.split())) == (3, True)


def test_an_unknown_sender_ends_with_3(rotated: CodeLocation) -> None:
    assert call("keys", "retoken", "--sender", "nobody").exit_code == 3
