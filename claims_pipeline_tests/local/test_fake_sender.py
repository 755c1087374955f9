"""The fake sender writes claims that live: the same for the same plan, consistent between parents and children."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from claims_pipeline.feeds import feed_named
from claims_pipeline.feeds.va_form526 import AASM_STATES, ICN, JOB_CLASSES, JOB_STATUSES
from claims_pipeline.local.fake_sender import Dialect, Plan, Progress, generate, life
from claims_pipeline_tests.local.fake_sender_dumps import Generated, InMemory, generated

FIRST = dt.date(2024, 3, 9)
PLAN = Plan(FIRST, days=23, rows=120, dirt=0, dialect=Dialect())
SMALL = Plan(FIRST, days=3, rows=40, dirt=0.1)


@pytest.fixture(scope="module")
def world() -> Generated:
    """Three weeks of sound claims, in one dialect."""
    return generated(PLAN)


def test_the_same_plan_gives_the_same_bytes_in_another_process() -> None:
    script = (
        "import datetime, json\n"
        "from claims_pipeline.local.fake_sender import Plan\n"
        "from claims_pipeline_tests.local.fake_sender_dumps import generated\n"
        f"plan = Plan(datetime.date.fromisoformat('{FIRST}'), days=3, rows=40, dirt=0.1)\n"
        "print(json.dumps([dump.sha256 for dump in generated(plan).manifest.dumps]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [dump.sha256 for dump in generated(SMALL).manifest.dumps]


def test_more_days_begin_with_the_same_bytes_as_fewer() -> None:
    fewer, more = generated(SMALL), generated(dataclasses.replace(SMALL, days=5))
    assert fewer.objects == {key: more.objects[key] for key in fewer.objects}


def test_one_dataset_alone_has_the_same_bytes_as_among_all() -> None:
    alone, among = generated(SMALL, "form526_uploads"), generated(SMALL)
    assert alone.objects == {key: data for key, data in among.objects.items() if "/form526_uploads/" in key}


def test_the_size_of_a_chunk_does_not_change_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = generated(SMALL).objects
    monkeypatch.setattr(life, "_CHUNK", 7)
    monkeypatch.setattr(life, "_SCAN", 11)
    assert generated(SMALL).objects == whole


def test_another_seed_is_another_world() -> None:
    other = generated(dataclasses.replace(SMALL, seed=1), "form526_submissions")
    same = generated(SMALL, "form526_submissions")
    assert not {dump.sha256 for dump in other.manifest.dumps} & {dump.sha256 for dump in same.manifest.dumps}


def test_every_key_is_a_file_name_of_its_contract() -> None:
    for dump in generated(SMALL).manifest.dumps:
        feed = feed_named(f"va_form526/{dump.dataset}")
        name = dump.key.removeprefix(feed.sender.prefix)
        found = next(match for pattern in feed.file_names if (match := re.search(pattern, name)))
        assert found["day"] == dump.delivery_day.isoformat()
        assert found["stamp"] == f"{dump.stamp:%Y%m%dT%H%M%SZ}"


def test_every_column_of_the_contract_is_written_in_order(world: Generated) -> None:
    for dump in world.manifest.dumps:
        header = world.plain(dump).split(b"\n", 1)[0].decode().split(",")
        assert header == [column.name for column in feed_named(f"va_form526/{dump.dataset}").columns]


def test_the_manifest_knows_hash_size_and_rows() -> None:
    small = generated(SMALL)
    for dump in small.manifest.dumps:
        data = small.objects[dump.key]
        assert (dump.sha256, dump.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
        assert dump.rows == len(small.rows(dump))


def test_the_manifest_is_json_and_the_same_for_the_same_plan() -> None:
    text = generated(SMALL).manifest.to_json()
    assert json.loads(text)["plan"]["rows"] == 40
    assert text == generated(SMALL).manifest.to_json()


def test_as_many_submissions_are_new_each_day_as_the_plan_says(world: Generated) -> None:
    assert [dump.gained for dump in world.of("form526_submissions")] == [PLAN.rows] * PLAN.days


def test_updated_at_lies_in_the_day_before_the_dump_and_grows_with_each_delivery(world: Generated) -> None:
    for dataset, key in (("form526_submissions", "id"), ("form526_job_statuses", "job_id")):
        times = defaultdict(list)
        for dump in world.of(dataset):
            for row in world.rows(dump):
                updated = dt.datetime.fromisoformat(row["updated_at"]).replace(tzinfo=dt.UTC)
                assert dump.stamp - dt.timedelta(days=1) <= updated < dump.stamp
                times[row[key]].append(updated)
        assert max(map(len, times.values())) > 1
        assert all(earlier < later for series in times.values() for earlier, later in pairwise(series))


def test_claims_are_sent_again_for_weeks_and_no_longer(world: Generated) -> None:
    ages = Counter(
        (dump.stamp - dt.datetime.fromisoformat(row["created_at"]).replace(tzinfo=dt.UTC)).days
        for dump in world.of("form526_submissions")
        for row in world.rows(dump)
    )
    assert max(ages) in range(15, 21)


def test_every_state_and_job_of_the_contract_is_met(world: Generated) -> None:
    submissions = [row for dump in world.of("form526_submissions") for row in world.rows(dump)]
    jobs = [row for dump in world.of("form526_job_statuses") for row in world.rows(dump)]
    assert {row["aasm_state"] for row in submissions} == set(AASM_STATES)
    assert {row["status"] for row in jobs} == set(JOB_STATUSES)
    assert {row["job_class"] for row in jobs} == set(JOB_CLASSES)


def test_a_claim_number_that_arrived_stays_and_is_nobody_elses(world: Generated) -> None:
    numbers: dict[str, str] = {}
    for dump in world.of("form526_submissions"):
        for row in world.rows(dump):
            number = row["submitted_claim_id"].strip()
            assert number == numbers.get(row["id"], number)
            if number:
                numbers[row["id"]] = number
    assert len(set(numbers.values())) == len(numbers)


def test_counts_agree_with_the_children_of_the_same_day(world: Generated) -> None:
    for submissions, contentions, uploads in zip(
        world.of("form526_submissions"), world.of("form526_contentions"), world.of("form526_uploads"), strict=True
    ):
        actions: dict[str, list[str]] = defaultdict(list)
        for row in world.rows(contentions):
            actions[row["submission_id"]].append(row["action_type"])
            assert int(row["ordinal"]) == len(actions[row["submission_id"]])
        documents = Counter(row["submission_id"] for row in world.rows(uploads))
        for row in world.rows(submissions):
            claimed = Counter(actions.pop(row["id"], []))
            assert int(row["disability_count"]) == claimed.total()
            assert int(row["new_count"]) == claimed["NEW"]
            assert int(row["increase_count"]) == claimed["INCREASE"]
            assert int(row["secondary_count"]) == claimed["SECONDARY"]
            assert int(row["upload_count"]) == documents.pop(row["id"], 0)
        assert not actions
        assert not documents


def test_sets_of_contentions_grow_and_shrink_and_some_are_empty(world: Generated) -> None:
    sizes = defaultdict(list)
    for dump in world.of("form526_submissions"):
        for row in world.rows(dump):
            sizes[row["id"]].append(int(row["disability_count"]))
    steps = Counter(later - earlier for series in sizes.values() for earlier, later in pairwise(series))
    assert set(steps) == {-1, 0, 1}
    assert any(size == 0 for series in sizes.values() for size in series)


def test_jobs_and_remediations_belong_to_submissions_of_the_same_dump(world: Generated) -> None:
    for dataset in ("form526_job_statuses", "form526_submission_remediations"):
        for submissions, children in zip(world.of("form526_submissions"), world.of(dataset), strict=True):
            sent = {row["id"] for row in world.rows(submissions)}
            assert {row["form526_submission_id"] for row in world.rows(children)} <= sent


def test_remediations_come_after_failures_and_end_well(world: Generated) -> None:
    rows = [row for dump in world.of("form526_submission_remediations") for row in world.rows(dump)]
    assert {row["success"] for row in rows} == {"t", "f"}
    assert not world.rows(world.of("form526_submission_remediations")[0])


def test_persons_are_invented(world: Generated) -> None:
    for dump in world.of("form526_submissions")[:2]:
        for row in world.rows(dump):
            assert re.fullmatch(r"(000|9\d\d)\d{6}|", row["ssn"])
            assert re.fullmatch(r"\d{3}55501\d\d", row["phone"])
            assert re.fullmatch(r"v\d{9}@example\.(com|org|net)", row["email"])
            assert re.fullmatch(ICN, row["icn"]) or not row["icn"]


def test_forms_and_headers_are_json(world: Generated) -> None:
    for row in world.rows(world.of("form526_submissions")[0]):
        assert json.loads(row["form_json"])["form526"]["form526"]["veteran"]["emailAddress"] == row["email"]
        headers = json.loads(row["auth_headers_json"])
        assert (headers["va_eauth_firstName"], headers["va_eauth_lastName"]) == (row["first_name"], row["last_name"])


def test_progress_is_told_and_ends_with_the_dump() -> None:
    told: list[Progress] = []
    manifest = generate(SMALL, InMemory(), datasets=["form526_uploads"], progress=told.append)
    last = {progress.key: progress.rows for progress in told}
    assert last == {dump.key: dump.rows for dump in manifest.dumps}


def test_an_unknown_dataset_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="form526_appeals"):
        generate(SMALL, InMemory(), datasets=["form526_appeals"])


@pytest.mark.parametrize(
    ("days", "rows", "dirt", "first"),
    [
        (0, 1, 0, FIRST),
        (1, 0, 0, FIRST),
        (1, 1, 1.1, FIRST),
        (91, 10_000_000, 0, FIRST),
        (1, 1, 0, dt.date(2019, 1, 1)),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(days: int, rows: int, dirt: float, first: dt.date) -> None:
    with pytest.raises(ValueError, match=r"must be|share"):
        Plan(first, days, rows, dirt=dirt)
