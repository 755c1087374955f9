"""A run in a process of its own, to be killed: `python -m` this, with the folder of an instance and a day.

Belongs here: what the victim does. Does not belong here: killing it (`test_killed_runs`).
"""

from __future__ import annotations

import sys

import dagster as dg

from claims_pipeline.orchestration.keys import feed_keys
from claims_pipeline_tests.fix_dagster import UPLOADS, feed_of, whole_job

if __name__ == "__main__":
    with dg.DagsterInstance.local_temp(sys.argv[1]) as instance:
        keys = feed_keys(feed_of(UPLOADS))
        whole_job().execute_in_process(instance=instance, asset_selection=keys, partition_key=sys.argv[2])
