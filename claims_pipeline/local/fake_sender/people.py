"""Invented people: names from syllables, numbers from ranges that are never issued, and the traps that real names set.

Belongs here: everything about a person, as columns, from the person's number. No value is, or resembles
by more than chance, a real person's: Social Security numbers begin with 000 or 9 (never issued), telephones are
555-01xx, e-mails end in example.com, .org or .net.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dialect import Codes, Escaped, Plain, Typed
from claims_pipeline.local.fake_sender.dice import Dice, Ints, table

_BEGINNINGS = (
    "Ba", "Cor", "Dal", "Ev", "Fen", "Gra", "Hol", "Im", "Jor", "Kel", "Lor", "Mar", "Nev", "Or", "Pel", "Quin",
)  # fmt: skip
_MIDDLES = ("a", "be", "di", "en", "i", "la", "mo", "ne", "o", "ri", "sa", "te", "u", "va", "we", "zo")
_ENDINGS = (
    "bel", "dra", "fin", "gan", "ka", "lin", "mund", "na", "rick", "sen", "son", "ta", "thal", "vin", "wick", "zar",
)  # fmt: skip
_TRAPS = (  # each was lost or broken somewhere by a reader that guesses types, nulls, quotes or encodings
    "Null", "None", "NA", "nan", "True", "Inf", "O'Fenmund", "Marwick, Jr.", 'Cor "Kel" Linsen', "Ñevéz-Grałka",
    "Ōrisen", "Van der Belthal", "=Kel()", "-Dalson", "@Fenlin", "1e5",
)  # fmt: skip


@cache
def names() -> tuple[str, ...]:
    """4,112 names, traps last."""
    return tuple(a + b + c for a in _BEGINNINGS for b in _MIDDLES for c in _ENDINGS) + _TRAPS


@cache
def _names_in_json() -> tuple[bytes, ...]:
    """The names inside a JSON string inside a quoted CSV field."""
    return tuple(json.dumps(name, ensure_ascii=False)[1:-1].replace('"', '""').encode() for name in names())


_USER_FORMS = table([512, 384, 96, 32])  # 32 hex digits (ID.me), dashed UUID (login.gov), number (sec_id), padded
_BANKS = ("First Invented Bank", "Bank of Nowhere", "Example Federal Credit Union", "Kelwick & Sons, N.A.")
_MAIL_HOSTS = (b"@example.com", b"@example.org", b"@example.net")


class People:
    """The columns of persons."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice

    def person(self, n: Ints) -> Ints:
        """Who submitted: one in eight submissions is another one of an earlier submission's person."""
        again = self._dice.chance("person again", n, 1 / 8)
        return np.where(again, n - self._dice.below("person before", n, np.minimum(n + 1, 20_000)), n)

    def email(self, p: Ints) -> fields.Column:
        """E-mail address."""
        host = fields.taken(_MAIL_HOSTS, self._dice.below("mail host", p, len(_MAIL_HOSTS)))
        return fields.joined(fields.fixed(b"v", fields.digits(p, 9)), host)

    def family_name(self, p: Ints) -> Ints:
        """Index into `names`."""
        return self._dice.below("family name", p, len(names()))

    def identity(self, p: Ints) -> dict[str, Typed]:
        """The login's and the person's identifiers, as the contract names them."""
        dice = self._dice
        bits, more = dice.bits("user high", p), dice.bits("user low", p)
        form = dice.pick("user form", p, _USER_FORMS)
        dashed = fields.uuids(bits, more)
        user = fields.fixed(fields.hexes(bits), fields.hexes(more))
        for kind, text in ((1, dashed), (2, fields.fixed(fields.digits(dice.below("sec id", p, 1 << 32), 10)))):
            user = fields.chosen(form == kind, text, user)
        user = fields.chosen(form == 3, fields.joined(b"  ", dashed, b" "), user)
        number = fields.fixed(
            b"10", fields.digits(dice.below("icn", p, 10**8), 8), b"V",
            fields.digits(dice.below("icn check", p, 10**6), 6), null=dice.chance("no icn", p, 0.03),
        )  # fmt: skip
        account = fields.uuids(
            dice.bits("account high", p), dice.bits("account low", p), dice.chance("no account", p, 0.05)
        )
        return {"user_uuid": Plain(user), "user_account_id": Plain(account), "icn": Plain(number)}

    def personal(self, p: Ints) -> dict[str, Typed]:
        """What the pipeline must never store."""
        dice = self._dice
        rows = len(p)
        given, family = dice.below("given name", p, len(names())), self.family_name(p)
        born = dice.below("born", p, 70 * 365) - 45 * 365  # 1925 .. 1994
        area = np.where(dice.chance("ssn area", p, 0.5), 0, 900 + dice.below("ssn 9xx", p, 100))
        serial = dice.below("ssn serial", p, 10**6)
        ssn = fields.fixed(fields.digits(area, 3), fields.digits(serial, 6))
        edipi = fields.fixed(fields.digits(dice.below("edipi", p, 10**9), 10))
        pid = fields.fixed(b"600", fields.digits(dice.below("pid", p, 10**6), 6))
        birls = fields.chosen(dice.chance("birls is ssn", p, 0.5), ssn, fields.joined(b"C", pid))
        phone = fields.fixed(
            fields.digits(200 + dice.below("phone area", p, 800), 3), b"55501",
            fields.digits(dice.below("phone", p, 100), 2),
        )  # fmt: skip
        birth_date = fields.fixed(fields.dates(born), null=dice.chance("no birth date", p, 0.01))
        no_bank = dice.chance("no bank", p, 0.4)
        routing = fields.fixed(b"*****", fields.digits(dice.below("routing", p, 10**4), 4), null=no_bank)
        json_names = _names_in_json()
        headers = fields.joined(
            b'{""va_eauth_firstName"":""', fields.taken(json_names, given), b'"",""va_eauth_lastName"":""',
            fields.taken(json_names, family), b'"",""va_eauth_pnid"":""', ssn, b'""}',
        )  # fmt: skip
        return {
            "first_name": Codes(given, names()),
            "last_name": Codes(family, names()),
            "birth_date": Plain(birth_date),
            "ssn": Plain(fields.chosen(dice.chance("no ssn", p, 0.02), fields.nothing(rows), ssn)),
            "va_file_number": Plain(birls),
            "participant_id": Plain(pid),
            "edipi": Plain(edipi),
            "phone": Plain(phone),
            "bank_name": Codes(dice.below("bank", p, len(_BANKS)), _BANKS, no_bank),
            "bank_account_number": Plain(
                fields.fixed(fields.digits(dice.below("bank account", p, 10**9), 12), null=no_bank)
            ),
            "bank_routing_number": Plain(routing),
            "auth_headers_json": Escaped(headers),
        }
