"""The way of one dump, composed from the rooms: discover, archive, validate, load. No Dagster.

Belongs here: which room is called when, and what the ledger is told. Orchestration and the CLI are two faces of these
functions. Does not belong here: S3 calls, SQL, parsing, wording of messages.
"""

from claims_pipeline.flow.archiving import UNKNOWN
from claims_pipeline.flow.flow import Flow

__all__ = ["UNKNOWN", "Flow"]
