"""Bytes -> typed batches -> validated frames and rejects; treatment of personal data. No network, no SQL."""

from claims_pipeline.frames.dump import Validation, rows_schema, validate_dump
from claims_pipeline.frames.keys import KeyRing, Keys, make_key_ring, seal, unseal

__all__ = ["KeyRing", "Keys", "Validation", "make_key_ring", "rows_schema", "seal", "unseal", "validate_dump"]
