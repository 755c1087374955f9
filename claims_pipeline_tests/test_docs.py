"""The generated pages say what the code says, and the README's commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from claims_pipeline.cli import app
from claims_pipeline.feeds import all_feeds
from claims_pipeline.feeds.contract import Pii
from claims_pipeline.settings import PROJECT_ROOT, Settings
from claims_pipeline_tests.generated_docs import pages


@pytest.mark.parametrize("path", sorted(pages()))
def test_a_generated_page_is_up_to_date(path: str) -> None:
    assert (PROJECT_ROOT / path).read_text() == pages()[path], "run `make docs`"


PAGES = sorted((PROJECT_ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    linked = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    assert [target for target in linked if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (PROJECT_ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in (PROJECT_ROOT / "docs").glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]


def test_the_privacy_page_names_every_column_of_special_data_that_is_stored() -> None:
    named = (PROJECT_ROOT / "docs" / "privacy.md").read_text().partition("The nine: ")[2].partition("\n\n")[0]
    stored = {c.name for feed in all_feeds() for c in feed.stored if c.pii is Pii.SPECIAL}
    assert set(re.findall(r"`(\w+)`", named)) == stored


def test_every_test_that_the_privacy_page_names_exists() -> None:
    named = re.findall(r"`tests/([\w/.]+)`", (PROJECT_ROOT / "docs" / "privacy.md").read_text())
    assert named
    assert [name for name in named if not (PROJECT_ROOT / "claims_pipeline_tests" / name).exists()] == []


def test_every_command_that_the_readme_names_exists() -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    named = set(re.findall(r"claims-pipeline ([a-z][a-z-]+)", readme))
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group, by construction
    assert named <= known


def test_every_make_target_that_the_readme_names_exists() -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z][a-z-]*)(?=[ `\n])", readme)) - {"sure"} <= targets


def test_every_setting_that_the_readme_names_exists() -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    known = {f"CLAIMS_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"CLAIMS_[A-Z0-9_]+[A-Z0-9]", readme)) <= known
