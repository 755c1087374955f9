"""Invented NHI numbers, all of which begin with Z: the range that is for tests, and given to nobody.

Belongs here: numbers of both formats with the right check character, and some with a wrong one. The arithmetic is
its own (HISO 10046, feeds.md 4.3), so that it can be held against the check of `feeds`.
"""

from __future__ import annotations

import numpy as np

from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask

_LETTERS = np.frombuffer(b"ABCDEFGHJKLMNPQRSTUVWXYZ", dtype=np.uint8)  # worth 1 .. 24; without I and O
_Z = 24


def numbers(dice: Dice, person: Ints, *, wrong: Mask, null: Mask) -> fields.Column:
    """One number per person.

    Args:
        dice: draws.
        person: the person's number; persons far apart may share one.
        wrong: whose check character is wrong.
        null: who has none.
    """
    new = dice.chance("nhi of the new format", person, 0.3)
    second, third, fifth = (dice.below(f"nhi letter {i}", person, 24) + 1 for i in range(3))
    digits = dice.below("nhi digits", person, 1000)
    hundreds, tens, ones = digits // 100, digits // 10 % 10, digits % 10
    front = 7 * _Z + 6 * second + 5 * third

    # AAANNNC: of a sum that eleven divides no number is issued; two more (the last digit counts twice) never is.
    total = front + 4 * hundreds + 3 * tens + 2 * ones
    ones = np.where(total % 11 == 0, np.where(ones < 9, ones + 1, ones - 1), ones)
    total = front + 4 * hundreds + 3 * tens + 2 * ones
    old_check = (11 - total % 11) % 10
    old_check = np.where(wrong, (old_check + 1) % 10, old_check)

    # AAANNAX
    new_check = 23 - (front + 4 * hundreds + 3 * tens + 2 * fifth) % 23
    new_check = np.where(wrong, new_check % 23 + 1, new_check)

    glyphs = np.empty((len(person), 7), dtype=np.uint8)
    glyphs[:, 0] = _LETTERS[_Z - 1]
    glyphs[:, 1], glyphs[:, 2] = _LETTERS[second - 1], _LETTERS[third - 1]
    glyphs[:, 3], glyphs[:, 4] = ord("0") + hundreds, ord("0") + tens
    glyphs[:, 5] = np.where(new, _LETTERS[fifth - 1], ord("0") + ones)
    glyphs[:, 6] = np.where(new, _LETTERS[new_check - 1], ord("0") + old_check)
    return fields.fixed(glyphs, null=null)
