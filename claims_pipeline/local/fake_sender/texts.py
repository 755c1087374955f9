"""Invented free text: words that readers have lost or broken, among plain ones.

Belongs here: texts for columns of which a contract only says that they hold text. Does not belong here: persons
(`people`).
"""

from __future__ import annotations

import unicodedata

from claims_pipeline.local.fake_sender.people import names

_MACRONS = ("Tāne Whenua", "Pōhutukawa", "Kōwhai Street", "Ōtāngarei", "Wāhi tūpuna", "Māhina")

TEXTS: tuple[str, ...] = (
    *_MACRONS,
    *(unicodedata.normalize("NFD", text) for text in _MACRONS),  # equal to the eye: must be stored as one
    "ordinary", "follow-up", "urgent; seen", "tab\there", 'said "later"', "two\nlines", "comma, point. colon:", "50 %",
    "Zoë", "naïve", "'quoted'", "back\\slash", "a|b", "#5", "0012", "1e5", "-", "None", "NA", "null", "nan", "True",
    "=SUM(A1:A9)",
    *names()[::97],
)  # fmt: skip
