"""Makes the fixtures of the `fix_*` modules known to every test. Does not belong here: fixtures."""

from __future__ import annotations

pytest_plugins = [
    "claims_pipeline_tests.fix_dagster",
    "claims_pipeline_tests.fix_listeners",
    "claims_pipeline_tests.fix_proxy",
    "claims_pipeline_tests.fix_services",
    "claims_pipeline_tests.fix_warehouse",
    "claims_pipeline_tests.fix_pipeline",
]
