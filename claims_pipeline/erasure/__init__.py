"""Erasure: a person's rows leave everything but the raw archive and backups, and do not come back. No Dagster.

Belongs here: the search (searching.py), carrying it out in one transaction (erasing.py), deleting what is left of it
in S3 (finishing.py), the answer (telling.py), the notes in the archive (notes.py), tokens (tokens.py). Does not belong
here: SQL (warehouse), recognising rows (frames), leaving rows out of new frames (flow).
"""

from claims_pipeline.erasure.erasing import Request, erase, erase_again, erase_in_tables
from claims_pipeline.erasure.finishing import finish
from claims_pipeline.erasure.notes import take_notes
from claims_pipeline.erasure.telling import Erased
from claims_pipeline.erasure.tokens import tokens_of

__all__ = ["Erased", "Request", "erase", "erase_again", "erase_in_tables", "finish", "take_notes", "tokens_of"]
