"""Texts that a regular expression accepts, for the simple expressions of contracts and file names.

Belongs here: reading an expression, and the texts of its parts. Known: characters, classes, groups, alternatives,
repeats, anchors. Look-arounds are passed over, so callers test what they get. Does not belong here: what a column needs
besides (`proposals`).

No library: those that exist draw one text at a time by a generator of their own; here a text is asked for by number, a
whole column at once.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field

from claims_pipeline.local.fake_sender.domains import Domain, either, in_a_row, words

_WORD = string.ascii_letters + string.digits + "_"
_SETS = {"d": string.digits, "w": _WORD, "s": " ", "D": string.ascii_letters, "W": "-. ", "S": _WORD}
_ANY = string.ascii_lowercase + string.digits
_PRINTED = string.ascii_letters + string.digits + " -_.,:;/+*#@!()"
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
_ANCHORS = "AZbB"
_ENDLESS = 12  # digits or letters of an endless repeat where no two texts may be the same
_VARIETY = 2  # an open repeat is met with its least length and up to so many more
_QUANTIFIER = re.compile(r"(?:([?*+])|\{(\d*)(?:(,)(\d*))?\})[?+]?")
_GROUP = re.compile(r"\?(?:P<(?P<name>\w+)>|(?P<plain>:)|(?P<look><?[=!])|(?P<flags>[aiLmsux]+)(?P<scoped>[:)])?)")


def texts_of(pattern: str, *, distinct: bool = False, groups: Mapping[str, str] | None = None) -> Domain:
    """Texts that match a pattern from its beginning.

    Args:
        pattern: the regular expression.
        distinct: prefer many different texts of one length over texts of several lengths; for keys.
        groups: texts of named groups, put in their place.

    Raises:
        ValueError: the pattern holds something that is not known here.
    """
    reader = _Reader(pattern, distinct, groups or {})
    found = reader.alternatives()
    if reader.at < len(pattern):
        raise ValueError(f"the pattern cannot be read from character {reader.at + 1} on")
    return found


@dataclass
class _Reader:
    """A reading of a pattern, from left to right."""

    pattern: str
    distinct: bool
    groups: Mapping[str, str]
    at: int = field(default=0)

    def alternatives(self) -> Domain:
        options = [self.sequence()]
        while self._takes("|"):
            options.append(self.sequence())
        return either(options, distinct=self.distinct)

    def sequence(self) -> Domain:
        parts = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            part = self.one()
            if match := _QUANTIFIER.match(self.pattern, self.at):
                self.at = match.end()
                part = self._repeated(part, match)
            parts.append(part)
        return in_a_row(parts)

    def one(self) -> Domain:
        character = self.pattern[self.at]
        self.at += 1
        match character:
            case "^" | "$":
                return words([""])
            case ".":
                return words(_ANY)
            case "[":
                return words(self._class())
            case "(":
                return self._group()
            case "\\":
                return self._escaped()
            case _:
                return words([character])

    def _takes(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def _escaped(self) -> Domain:
        character = self.pattern[self.at]
        self.at += 1
        if character in _ANCHORS:
            return words([""])
        if character.isdigit():
            raise ValueError("the pattern refers back to a group")
        return words(_SETS.get(character, _CONTROLS.get(character, character)))

    def _group(self) -> Domain:
        head = _GROUP.match(self.pattern, self.at)
        if head is None and self.pattern.startswith("?", self.at):
            raise ValueError("the pattern holds a group of a kind that is not known here")
        name, look = "", False
        if head is not None:
            self.at = head.end()
            name, look = head["name"] or "", bool(head["look"])
            if head["flags"] and head["scoped"] == ")":
                return words([""])
        inner = self.alternatives()
        if not self._takes(")"):
            raise ValueError("a group of the pattern is not closed")
        if look:
            return words([""])
        return words([self.groups[name]]) if name in self.groups else inner

    def _class(self) -> str:
        inverted = self._takes("^")
        members: list[str] = []
        first = True
        while first or not self._takes("]"):
            low = self._member()
            if len(low) == 1 and re.match(r"-[^\]]", self.pattern[self.at :]):
                self.at += 1
                members += map(chr, range(ord(low), ord(self._member()) + 1))
            else:
                members += low
            first = False
        if inverted:
            return "".join(c for c in _PRINTED if c not in members)
        return "".join(dict.fromkeys(members))

    def _member(self) -> str:
        if self.at >= len(self.pattern):
            raise ValueError("a class of the pattern is not closed")
        character = self.pattern[self.at]
        self.at += 1
        if character != "\\":
            return character
        character = self.pattern[self.at]
        self.at += 1
        return _SETS.get(character, _CONTROLS.get(character, character))

    def _repeated(self, part: Domain, quantifier: re.Match[str]) -> Domain:
        sign, low, open_ended, high = quantifier.groups()
        if sign:
            least, most = int(sign == "+"), 1 if sign == "?" else None
        else:
            least = int(low or 0)
            most = least if not open_ended else int(high) if high else None
        if self.distinct:
            lengths = [max(least, _ENDLESS if most is None else min(most, _ENDLESS))]
        else:
            lengths = list(range(least, (least + _VARIETY if most is None else min(most, least + _VARIETY)) + 1))
            if most is not None and most - least > _VARIETY:
                lengths[-1] = most
        return either([in_a_row([part] * length) for length in lengths], distinct=self.distinct)
