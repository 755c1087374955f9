"""Bytes -> typed batches -> validated frames and rejects; treatment of personal data. No network, no SQL."""

from claims_pipeline.frames.batch import rows_schema
from claims_pipeline.frames.dump import Validation, validate_dump
from claims_pipeline.frames.keys import KeyRing, Keys, make_key_ring, seal, unseal
from claims_pipeline.frames.rewrite import without
from claims_pipeline.frames.rows import ValidatedRows, rejects_in
from claims_pipeline.frames.withheld import Recogniser, Withheld

__all__ = [
    "KeyRing",
    "Keys",
    "Recogniser",
    "ValidatedRows",
    "Validation",
    "Withheld",
    "make_key_ring",
    "rejects_in",
    "rows_schema",
    "seal",
    "unseal",
    "validate_dump",
    "without",
]
