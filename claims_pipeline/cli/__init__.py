"""`claims-pipeline`: the functions of the rooms for a terminal and for a Kubernetes CronJob.

Belongs here: arguments, what is printed, exit codes. Does not belong here: the work. Modules of the rooms are imported
within commands, so that `--help` answers at once.
"""

from claims_pipeline.cli.app import app

__all__ = ["app"]
