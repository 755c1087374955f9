"""Which room may import which (the design's arrows), read off the source: data flows one way, no circles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "claims_pipeline"
SHARED = {"vocabulary", "errors", "failpoints", "overlap"}
MAY_IMPORT = {
    "feeds": set(),
    "landing": {"feeds"},
    "frames": {"feeds"},
    "warehouse": {"feeds"},
    "alerts": set(),
    "alerting": {"alerts", "feeds", "settings"},
    "local": {"feeds"},
    "checks": {"feeds"},
    "dictionary": {"feeds", "warehouse"},
    "services": {"feeds", "frames", "landing", "local", "secrets_store", "settings", "telemetry", "warehouse"},
    "retokening": {"feeds", "flow", "frames", "landing", "services", "warehouse"},
    "auditing": {"landing", "services", "warehouse"},
    "arrival": {"extent", "feeds", "landing", "services", "warehouse"},
    "extent": {"feeds", "landing", "settings"},
    "hearing": {"arrival", "feeds", "landing", "services", "warehouse"},
    "dead_letters": {"landing"},
    "flow": {"arrival", "checks", "extent", "feeds", "frames", "landing", "services", "telemetry", "warehouse"},
    "bi": {"feeds", "services", "telemetry", "warehouse"},
    "pulse": {"bi", "checks", "feeds", "services", "warehouse"},
    "monitors": {"alerts", "settings"},
    "telemetry": set(),
    "catching_up": {"extent", "feeds", "flow", "warehouse"},
    "deliveries": {"alerts", "feeds", "warehouse"},
    "decisions": {"landing", "services", "warehouse"},
    "upkeep": {"erasure", "feeds", "flow", "landing", "services", "warehouse"},
    "backup": {"landing", "services", "telemetry", "warehouse"},
    "erasure": {"feeds", "flow", "frames", "landing", "services", "warehouse"},
    "replay": {"checks", "feeds", "flow", "landing", "warehouse"},
    "rebuild": {"decisions", "erasure", "feeds", "flow", "frames", "landing", "services", "undo", "warehouse"},
    "undo": {"decisions", "feeds", "flow", "warehouse"},
    "dashboard": {"checks", "feeds"},
    "reporting": {"warehouse"},
    "settings": set(),
    "secrets_store": set(),
    "vocabulary": set(),
    "errors": set(),
    "failpoints": set(),
    "overlap": set(),
    "orchestration": None,
    "cli": None,
    "definitions": None,
}
"""By room: the rooms it may import besides itself and the shared values; None for any."""

KNOW_DAGSTER = {"orchestration", "definitions", "cli"}


def _imports(room: str) -> set[str]:
    folder = PACKAGE / room
    files = folder.rglob("*.py") if folder.is_dir() else [PACKAGE / f"{room}.py"]
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _rooms(room: str) -> set[str]:
    own = {name.split(".")[1] for name in _imports(room) if name.startswith("claims_pipeline.")}
    return own - {room} - SHARED


def test_every_room_is_listed() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert found == set(MAY_IMPORT)


@pytest.mark.parametrize("room", [room for room, allowed in MAY_IMPORT.items() if allowed is not None])
def test_a_room_imports_no_other_than_it_may(room: str) -> None:
    assert _rooms(room) <= (MAY_IMPORT[room] or set())


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - KNOW_DAGSTER))
def test_only_the_dagster_face_knows_dagster(room: str) -> None:
    assert not {name for name in _imports(room) if name.split(".")[0].startswith("dagster")}


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - {"dashboard"}))
def test_only_the_dashboard_knows_streamlit_and_nothing_imports_it(room: str) -> None:
    assert not {
        name for name in _imports(room) if name.startswith(("streamlit", "altair", "claims_pipeline.dashboard"))
    }


def test_nothing_uses_dagsters_private_modules() -> None:
    private = {name for room in MAY_IMPORT for name in _imports(room) if name.startswith("dagster._")}
    assert not private
