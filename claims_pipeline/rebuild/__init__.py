"""Makes tables again from the raw archive alone, in an empty database, and compares them with the live ones.

Belongs here: reading the archive's manifests and notes, taking each dump through its steps once more in the order of
arrival, and the drill. Does not belong here: the steps (`flow`), SQL (`warehouse.rebuilt`, `warehouse.compare`).

A rebuild reads no ledger: numbers, names, times and hashes of dumps are in the manifests beside them, decisions of
persons in notes beside those, and what a dump is (superseding, duplicate...) is decided again. Dumps are taken in the
order of their numbers, which is that of arrival, because that decision depends on what was known before. It writes
nothing below `raw/` and `validated/`; its frames lie below `rebuild/` until it ends.
"""

from claims_pipeline.rebuild.archive import Archived, archived_dumps
from claims_pipeline.rebuild.comparing import Comparison, compare_with, snapshot
from claims_pipeline.rebuild.drill import Drill, choose, drill
from claims_pipeline.rebuild.rebuilding import Each, Rebuilt, rebuild, remove_frames, with_kin

__all__ = [
    "Archived",
    "Comparison",
    "Drill",
    "Each",
    "Rebuilt",
    "archived_dumps",
    "choose",
    "compare_with",
    "drill",
    "rebuild",
    "remove_frames",
    "snapshot",
    "with_kin",
]
