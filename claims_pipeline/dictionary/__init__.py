"""The data dictionary: what arrives, what becomes of it and who may see it, made from the contracts. No I/O."""

from claims_pipeline.dictionary.content import Dictionary, dictionary
from claims_pipeline.dictionary.html import page
from claims_pipeline.dictionary.markdown import pages

__all__ = ["Dictionary", "dictionary", "page", "pages"]
