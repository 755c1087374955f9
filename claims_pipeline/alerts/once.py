"""Saying a thing once: alerting that does not work must not fill the log of the loads that do.

Belongs here: the one function. Does not belong here: deciding what is worth saying.
"""

from __future__ import annotations

import logging
from functools import cache

logger = logging.getLogger("claims_pipeline.alerts")


@cache
def say_once(level: int, sentence: str) -> None:
    """Log a sentence the first time that this process says it; later calls do nothing.

    Args:
        level: a level of `logging`.
        sentence: text without secrets, without values of records, and without parts that differ from call to call
            (run ids, times), since each different sentence is said and remembered.
    """
    logger.log(level, "%s", sentence)
