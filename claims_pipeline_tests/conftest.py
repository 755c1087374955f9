"""Makes the fixtures of the `fix_*` modules known to every test, and suits hypothesis to noisy machines."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "claims_pipeline_tests.fix_dagster",
    "claims_pipeline_tests.fix_depot",
    "claims_pipeline_tests.fix_events",
    "claims_pipeline_tests.fix_listeners",
    "claims_pipeline_tests.fix_proxy",
    "claims_pipeline_tests.fix_services",
    "claims_pipeline_tests.fix_warehouse",
    "claims_pipeline_tests.fix_pipeline",
    "claims_pipeline_tests.fix_bi",
]

# No test may fail for the time that it took. CI draws the same examples each time; everybody else draws new ones.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
