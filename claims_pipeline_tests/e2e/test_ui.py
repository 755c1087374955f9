"""What a newcomer sees in the Dagster UI: the graph, a table's checks and figures, its columns and their treatment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dagster as dg
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from claims_pipeline.feeds import all_senders, feeds_of
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.orchestration.unwatched import last_ticks
from claims_pipeline_tests.e2e.browser import chromium_path, lineage_url, new_page
from claims_pipeline_tests.fix_dagster import SUBMISSIONS, UPLOADS, DagsterDev

pytestmark = [pytest.mark.ui, pytest.mark.slow]

PATIENCE = 60_000
"""Milliseconds; a busy machine's browser takes its time."""


@pytest.fixture(scope="module")
def loaded_dev(dagster_dev: DagsterDev) -> DagsterDev:
    """The product after its first day: what came is in the tables."""
    manifest = dagster_dev.drop()
    dagster_dev.wait_for(lambda: dagster_dev.settled() == len(manifest.dumps))
    return dagster_dev


@pytest.fixture
def page() -> Iterator[Page]:
    program = chromium_path()
    if program is None:
        pytest.fail("no Chromium on PATH: `make test-ui` installs one")
    with sync_playwright() as playwright, new_page(playwright, program) as opened:
        expect.set_options(timeout=PATIENCE)
        yield opened


def test_the_daemon_notes_the_ticks_by_which_every_sender_is_seen_to_be_watched(loaded_dev: DagsterDev) -> None:
    with dg.DagsterInstance.from_config(str(loaded_dev.log.parent / "dagster_home")) as instance:
        ticks = last_ticks(instance)
    assert ticks.keys() == {sender.name for sender in all_senders()}
    assert all(time.time() - tick < 600 for tick in ticks.values())


def test_the_graph_shows_three_layers_of_every_dataset(loaded_dev: DagsterDev, page: Page) -> None:
    page.goto(lineage_url(loaded_dev.url, SENDER.name))
    for feed in feeds_of(SENDER.name):
        expect(page.get_by_text(feed.dataset, exact=True)).to_have_count(3)


def test_a_tables_page_shows_its_rows(loaded_dev: DagsterDev, page: Page) -> None:
    page.goto(f"{loaded_dev.url}/assets/{SENDER.name}/{SUBMISSIONS}")
    expect(page.get_by_text("Row count").first).to_be_visible()


def test_a_tables_page_shows_its_checks(loaded_dev: DagsterDev, page: Page) -> None:
    page.goto(f"{loaded_dev.url}/assets/{SENDER.name}/{SUBMISSIONS}?view=checks")
    for name in ("row_conservation", "key_unique", "volume_in_range", "fresh"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()


@pytest.mark.parametrize(
    ("column", "treatment"), [("file_extension", "reduce_to_extension"), ("attachment_id", "keep")]
)
def test_a_tables_page_shows_its_columns_and_their_treatment(
    loaded_dev: DagsterDev, page: Page, column: str, treatment: str
) -> None:
    page.goto(f"{loaded_dev.url}/assets/{SENDER.name}/{UPLOADS}")
    row = page.get_by_role("row").filter(has_text=column)
    expect(row.get_by_text(f"treatment: {treatment}").first).to_be_visible()
