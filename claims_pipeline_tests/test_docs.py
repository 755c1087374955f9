"""The generated pages say what the code says, and the README's commands exist."""

from __future__ import annotations

import re

import pytest
import typer.main

from claims_pipeline.cli import app
from claims_pipeline.settings import PROJECT_ROOT, Settings
from claims_pipeline_tests.generated_docs import pages


@pytest.mark.parametrize("path", sorted(pages()))
def test_a_generated_page_is_up_to_date(path: str) -> None:
    assert (PROJECT_ROOT / path).read_text() == pages()[path], "run `make docs`"


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
