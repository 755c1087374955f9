"""The dashboard in a real Chromium, on five years of everything: its content, its addresses, its downloads."""

from __future__ import annotations

import csv
import datetime as dt
import http.client
import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from claims_pipeline.local import LocalServices
from claims_pipeline_tests.e2e.browser import chromium_path
from claims_pipeline_tests.e2e.dashboards import dashboard_of
from claims_pipeline_tests.fix_bi import FORMULA, REPORTS, filled

pytestmark = [pytest.mark.ui, pytest.mark.slow]

PATIENCE = 60_000
"""Milliseconds; a busy machine's browser takes its time."""

CHART = "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg"
ERRORS = "[data-testid=stException], [data-testid=stAlertContentError]"


@pytest.fixture(scope="module")
def url(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        filled(services, days=365 * 5) as bi,
        dashboard_of(bi.reader_url, tmp_path_factory.mktemp("dashboard")) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium_path()
    if program is None:
        pytest.fail("no Chromium on PATH: `make test-ui` installs one")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


def open_page(page: Page, address: str, title: str) -> None:
    """Open a page and wait until it has drawn what it has."""
    page.goto(address)
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


@pytest.mark.parametrize(
    ("path", "title"), [("", "Operations"), ("va_form526", "Claims"), ("indici", "Practice data"), ("clinic", "Clinic")]
)
def test_a_page_shows_charts_and_no_error(url: str, page: Page, path: str, title: str) -> None:
    open_page(page, f"{url}/{path}", title)
    expect(page.locator(CHART).first).to_be_visible()
    expect(page.locator(ERRORS)).to_have_count(0)


@pytest.mark.parametrize("sender", ["va_form526", "indici", "clinic"])
def test_a_senders_page_has_every_report(url: str, page: Page, sender: str) -> None:
    page.goto(f"{url}/{sender}")
    for report in REPORTS:
        if report.sender == sender:
            expect(page.get_by_role("heading", name=report.heading, level=3)).to_be_visible()


def test_about_says_what_is_hidden(url: str, page: Page) -> None:
    open_page(page, f"{url}/about", "About")
    expect(page.get_by_text("(small groups)").first).to_be_visible()
    expect(page.locator(ERRORS)).to_have_count(0)


def test_a_dark_screen_gets_a_dark_page(url: str, browser: Browser) -> None:
    page = browser.new_page(color_scheme="dark")
    open_page(page, url, "Operations")
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    page.close()
    red, green, blue = (int(part) for part in background.removeprefix("rgb(").rstrip(")").split(",")[:3])
    assert max(red, green, blue) < 80


def test_nothing_is_fetched_from_another_host(url: str, page: Page) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    open_page(page, f"{url}/va_form526", "Claims")
    expect(page.locator(CHART).first).to_be_visible()
    assert {host for host in hosts if host} == {urlsplit(url).netloc}


def test_neither_menu_nor_deploy_button_is_shown(url: str, page: Page) -> None:
    open_page(page, url, "Operations")
    expect(page.get_by_test_id("stAppDeployButton")).to_have_count(0)
    expect(page.get_by_test_id("stMainMenu")).to_have_count(0)


def test_a_download_runs_no_formula(url: str, page: Page) -> None:
    open_page(page, f"{url}/va_form526?period=All", "Claims")
    panel = page.locator(".st-key-report_time_to_remediation")
    with page.expect_download(timeout=PATIENCE) as waiting:
        panel.get_by_role("button", name="CSV").click()
    content = Path(waiting.value.path()).read_bytes()
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    kinds = {row["remediation_type"] for row in rows}
    assert (content[:3], f"'{FORMULA}" in kinds, FORMULA in kinds) == (b"\xef\xbb\xbf", True, False)


def test_the_tables_own_download_is_off(url: str, page: Page) -> None:
    open_page(page, f"{url}/about", "About")
    page.get_by_test_id("stDataFrame").hover()
    expect(page.get_by_role("button", name="Download as CSV")).to_have_count(0)


def test_an_address_opens_what_it_was_copied_from(url: str, page: Page) -> None:
    open_page(page, f"{url}/va_form526", "Claims")
    page.get_by_role("radio", name="12 months").or_(page.get_by_role("button", name="12 months")).first.click()
    expect(page).to_have_url(f"{url}/va_form526?period=12+months")
    address = page.url
    page.goto("about:blank")
    open_page(page, address, "Claims")
    expect(page.get_by_text("Drawn per month.").first).to_be_visible()


def test_a_feed_in_the_address_is_the_one_that_is_shown(url: str, page: Page) -> None:
    open_page(page, f"{url}/?feed=indici%2Finvoices", "Operations")
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    expect(
        page.locator("input[value='indici/invoices']").or_(page.get_by_text("indici/invoices")).first
    ).to_be_visible()


def test_a_click_on_a_day_chooses_its_feed(url: str, page: Page) -> None:
    open_page(page, url, "Operations")
    calendar = page.locator(CHART).first
    calendar.click(position={"x": 500, "y": 220})
    expect(page).to_have_url(re.compile(r"[?&]feed=\w+%2F\w+"))
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()


def test_a_period_without_anything_says_so(url: str, page: Page) -> None:
    long_ago = dt.date(2001, 1, 1)
    between = f"between={long_ago}&between={long_ago + dt.timedelta(days=9)}"
    open_page(page, f"{url}/clinic?period=Between&{between}", "Clinic")
    expect(page.locator(ERRORS)).to_have_count(0)


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("127.0.0.1", 101)])
def test_a_strange_host_name_is_turned_away(url: str, host: str, status: int) -> None:
    """A page of the web whose name was made to point at this machine gets no data (DNS rebinding)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    address = f"{host}:{parts.port}"
    headers = {"Host": address, "Origin": f"http://{address}", "Connection": "Upgrade", "Upgrade": "websocket"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    connection.request("GET", "/_stcore/stream", headers=headers)
    answer = connection.getresponse()
    connection.close()
    assert answer.status == status
