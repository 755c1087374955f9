"""Makes the fixtures of the `fix_*` modules known to every test, and suits hypothesis to noisy machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "claims_pipeline_tests.fix_dagster",
    "claims_pipeline_tests.fix_deliveries",
    "claims_pipeline_tests.fix_depot",
    "claims_pipeline_tests.fix_events",
    "claims_pipeline_tests.fix_listeners",
    "claims_pipeline_tests.fix_proxy",
    "claims_pipeline_tests.fix_services",
    "claims_pipeline_tests.fix_upkeep",
    "claims_pipeline_tests.fix_warehouse",
    "claims_pipeline_tests.fix_pipeline",
    "claims_pipeline_tests.fix_bi",
]

# No test may fail for the time that it took. CI draws the same examples each time; everybody else draws new ones.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

LONGEST = (
    "canary/test_nothing_leaks.py",
    "warehouse/test_order.py",
    "soak/test_soak.py",
    "erasure/test_not_coming_back.py",
    "e2e/test_dagster_dev.py",
    "test_third_sender.py",
    "test_hearing.py",
    "orchestration/test_killed_runs.py",
    "e2e/test_demo.py",
    "orchestration/test_event_log.py",
)
"""Modules that take longest, below this folder: of several processes, none is to begin with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that take longest first (with xdist's --no-loadscope-reorder, which counts tests otherwise)."""
    here = Path(__file__).parent
    first = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))
