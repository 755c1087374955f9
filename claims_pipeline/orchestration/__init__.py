"""The Dagster face: assets, checks, sensors, schedules, hooks, resources, partitions. Thin: the work is in `flow`.

Modules that define assets, sensors and hooks do without `from __future__ import annotations`: Dagster reads the
annotations of their functions at definition time.
"""

import warnings

import dagster as dg

# Backfill policies and freshness policies are what the design rests on, and are still called beta or preview by 1.13;
# the version is pinned, so that their warning in every process tells nobody anything.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
