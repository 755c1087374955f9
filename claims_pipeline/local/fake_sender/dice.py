"""Randomness that can be asked again: the same seed, name and number give the same bits on every machine.

Belongs here: a hash of (seed, name, number) over whole arrays, and draws made from it. A stateful generator would have
to be run through all earlier days to know what a claim of three weeks ago does today; a hash answers for any row alone,
in any order and chunk size. Does not belong here: what the draws mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

SLOTS = 1024  # a table of choices has so many slots: ten bits of a draw choose among them


@lru_cache(maxsize=1 << 14)  # a sender can have thousands of columns
def _salt(seed: int, name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big"))


def table(weights: Sequence[int]) -> npt.NDArray[np.int16]:
    """A table of choices: index i fills `weights[i]` of its slots.

    Raises:
        ValueError: the weights do not add up to `SLOTS`.
    """
    if sum(weights) != SLOTS:
        raise ValueError(f"weights add up to {sum(weights)}, not to {SLOTS}")
    return np.repeat(np.arange(len(weights), dtype=np.int16), weights)


class Dice:
    """Draws by name and number. Numbers are non-negative; one number and one name always draw the same."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def bits(self, name: str, number: Ints) -> Words:
        """64 evenly spread bits per number (the finaliser of SplitMix64; Steele, Lea, Flood, OOPSLA 2014).

        For one name it is a bijection: different numbers give different bits.
        """
        z = number.astype(np.uint64)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z += _salt(self._seed, name)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        return z

    def below(self, name: str, number: Ints, bound: int | Ints) -> Ints:
        """A whole number in [0, bound) per number; bound is at most 2**32."""
        high = self.bits(name, number) >> np.uint64(32)
        return ((high * np.asarray(bound).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)

    def chance(self, name: str, number: Ints, probability: float) -> Mask:
        """True with the probability (0..1, resolved to 2**-53)."""
        return (self.bits(name, number) >> np.uint64(11)) < np.uint64(int(probability * 2**53))

    def pick(self, name: str, number: Ints, choices: npt.NDArray[np.int16]) -> Ints:
        """An index drawn from a table made by `table`."""
        picked: Ints = choices[self.bits(name, number) >> np.uint64(54)].astype(np.int64)
        return picked
