"""Pruning: what killed runs left behind, what a contract's retention lets go, and the memory of both. No Dagster.

Belongs here: what may be deleted and what never. A prune (pruning.py) is a list of chores (chores.py); each counts what
would go, or deletes it, and is audited in `ops.upkeep` either way. Does not belong here: S3 calls, SQL, Dagster's own
storage (orchestration/event_log.py brings its chores along).

Never deleted: what the ledger does not know at all. Killed runs leave nothing of that kind, since a dump is in the
ledger before its bytes are copied; it means that the ledger was lost, and then the archive is what it is rebuilt from.
It is counted and told.
"""

from claims_pipeline.upkeep.chores import chores_of
from claims_pipeline.upkeep.pruning import Chore, Kind, Pruned, Tally, Work, prune

__all__ = ["Chore", "Kind", "Pruned", "Tally", "Work", "chores_of", "prune"]
