"""Whether IAM policies let somebody do something, by the rules of AWS: pure, and for the tests of deploy/aws only.

Belongs here: the part of IAM's language that our templates speak. Whatever else one of them says is an error, never an
answer. Does not belong here: what a request over HTTP asks for (gate.py).

The emulator knows actions and resources of S3, but neither conditions nor resources of other services; where both
know, a test compares them. Rules: "Policy evaluation logic" and "IAM JSON policy elements" of AWS's IAM User Guide.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]
_KNOWN = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


@dataclass(frozen=True)
class Ask:
    """What somebody asks to do.

    Attributes:
        principal: ARN of a role or user; a service's name, such as `events.amazonaws.com`; of an OIDC provider.
        action: as `s3:PutObject`.
        resource: ARN.
        context: condition keys that the request has.
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def is_allowed(ask: Ask, *, identity: Sequence[Policy] = (), resource: Sequence[Policy] = ()) -> bool:
    """Whether the policies of who asks, and of what is asked for, allow it together.

    A deny anywhere wins. Otherwise one allow is enough, within one account; but a KMS key's own policy must leave it
    to the account's IAM, or allow it itself.
    """
    own = [statement for policy in identity for statement in policy["Statement"] if _concerns(statement, ask)]
    theirs = [
        statement
        for policy in resource
        for statement in policy["Statement"]
        if _names(statement["Principal"], ask.principal) and _concerns(statement, ask)
    ]
    if any(statement["Effect"] == "Deny" for statement in (*own, *theirs)):
        return False
    if ask.action.startswith("kms:") and not theirs:
        account = f"arn:aws:iam::{ask.resource.split(':')[4]}:root"
        delegates = Ask(account, ask.action, ask.resource, ask.context)
        if not is_allowed(delegates, resource=[_only_root(policy) for policy in resource]):
            return False
    return bool(own or theirs)


def may_assume(trust: Policy, ask: Ask) -> bool:
    """Whether a role's trust policy lets somebody take it; such statements name no resource."""
    return any(
        statement["Effect"] == "Allow"
        and _names(statement["Principal"], ask.principal)
        and _concerns({**statement, "Resource": "*"}, ask)
        for statement in trust["Statement"]
    )


def _only_root(policy: Policy) -> Policy:
    """The statements that leave it to the account, as if they named the account itself."""
    found = [s for s in policy["Statement"] if str(_aws(s["Principal"])).endswith(":root")]
    return {"Statement": [{**s, "Principal": "*"} for s in found] or [_NOTHING]}


_NOTHING = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}


def _concerns(statement: Policy, ask: Ask) -> bool:
    if unknown := set(statement) - _KNOWN:
        raise NotImplementedError(f"these tests do not know {sorted(unknown)} in a policy")
    return (
        any(_like(pattern.lower(), ask.action.lower()) for pattern in _list(statement["Action"]))
        and any(_like(pattern, ask.resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, _list(expected), ask.context.get(key))
            for operator, keys in statement.get("Condition", {}).items()
            for key, expected in keys.items()
        )
    )


def _holds(operator: str, expected: Sequence[str], found: str | None) -> bool:
    """One line of a condition. A key that the request has not fails a positive operator, and passes a negative one."""
    match operator:
        case "Null":
            return expected == [str(found is None).lower()]
        case "StringEquals" | "ArnEquals" | "Bool":
            return found is not None and found in expected
        case "StringNotEquals":
            return found not in expected
        case "StringLike" | "ArnLike":
            return found is not None and any(_like(pattern, found) for pattern in expected)
    raise NotImplementedError(f"these tests do not know the condition {operator}")


def _names(principal: Any, who: str) -> bool:
    if principal == "*":
        return True
    return any(who in _list(names) or "*" in _list(names) for names in principal.values())


def _aws(principal: Any) -> Any:
    return principal.get("AWS", "") if isinstance(principal, dict) else principal


def _like(pattern: str, text: str) -> bool:
    """IAM's wildcards: * and ?, across slashes; brackets mean themselves."""
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text) is not None


def _list(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
