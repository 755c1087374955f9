"""The data dictionary as people open it: a file in a browser, that is searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from claims_pipeline.dictionary import dictionary, page
from claims_pipeline.feeds import all_feeds, all_reports
from claims_pipeline_tests.e2e.browser import chromium_path, new_page

pytestmark = pytest.mark.ui


def test_a_search_leaves_the_columns_with_all_its_words(tmp_path: Path) -> None:
    program = chromium_path()
    if program is None:
        pytest.fail("no Chromium on PATH: `make test-ui` installs one")
    file = tmp_path / "dictionary.html"
    file.write_text(page(dictionary(all_feeds(), all_reports())), encoding="utf-8")
    complaints: list[str] = []
    with sync_playwright() as playwright, new_page(playwright, program) as opened:
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto(file.as_uri())
        opened.get_by_role("searchbox").fill("form526_submissions token direct")
        found = opened.locator("tr[data-row]:visible td:first-child").all_inner_texts()
        sections = opened.locator("section.dataset:visible").count()
    assert (found, sections, complaints) == (["user_uuid", "user_account_id", "icn"], 1, [])
