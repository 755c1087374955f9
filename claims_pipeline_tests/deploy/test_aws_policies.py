"""The reading of IAM policies that the tests of deploy/aws rest on, against the rules that AWS documents."""

from __future__ import annotations

from typing import Any

import pytest

from claims_pipeline_tests.deploy.policies import Ask, is_allowed, may_assume

WHO, OBJECT = "arn:aws:iam::123456789012:role/ada", "arn:aws:s3:::b/p/x"
KEY, ROOT = "arn:aws:kms:us-west-2:123456789012:key/k", "arn:aws:iam::123456789012:root"


def policy(effect: str = "Allow", **rest: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Action": "s3:*", "Resource": "*", **rest}]}


def get(**context: str) -> Ask:
    return Ask(WHO, "s3:GetObject", OBJECT, {name.replace("__", ":"): value for name, value in context.items()})


def test_what_nobody_allows_is_denied() -> None:
    assert not is_allowed(get())


def test_a_deny_wins_over_an_allow() -> None:
    assert not is_allowed(get(), identity=[policy(), policy("Deny")])


def test_a_deny_of_the_resource_wins_over_an_allow_of_who_asks() -> None:
    assert not is_allowed(get(), identity=[policy()], resource=[policy("Deny", Principal="*")])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("arn:aws:s3:::b/*", True),
        ("arn:aws:s3:::b/p/?", True),
        ("arn:aws:s3:::b", False),
        ("arn:aws:s3:::b/[p]/x", False),
    ],
)
def test_wildcards_of_resources(pattern: str, expected: bool) -> None:
    assert is_allowed(get(), identity=[policy(Resource=pattern)]) is expected


def test_actions_are_the_same_in_any_case() -> None:
    assert is_allowed(get(), identity=[policy(Action="S3:getobject")])


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {"a:k": "v"}}, {"a__k": "v"}, True),
        ({"StringEquals": {"a:k": ["u", "v"]}}, {"a__k": "v"}, True),
        ({"StringEquals": {"a:k": "v"}}, {}, False),
        ({"StringNotEquals": {"a:k": "v"}}, {"a__k": "w"}, True),
        ({"StringNotEquals": {"a:k": "v"}}, {}, True),
        ({"StringLike": {"a:k": "p/*"}}, {"a__k": "p/q/r"}, True),
        ({"StringLike": {"a:k": "p/*"}}, {"a__k": "p"}, False),
        ({"Null": {"a:k": "true"}}, {}, True),
        ({"Null": {"a:k": "false"}}, {}, False),
        ({"Bool": {"a:k": "false"}}, {"a__k": "false"}, True),
        ({"StringEquals": {"a:k": "v"}, "Bool": {"a:l": "true"}}, {"a__k": "v"}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, str], expected: bool) -> None:
    assert is_allowed(get(**context), identity=[policy(Condition=condition)]) is expected


def test_a_condition_that_is_not_known_here_is_no_answer() -> None:
    with pytest.raises(NotImplementedError):
        is_allowed(get(), identity=[policy(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})])


@pytest.mark.parametrize(("who", "expected"), [(ROOT, True), (f"{ROOT[:-4]}role/other", False)])
def test_a_key_is_only_usable_where_its_policy_leaves_it_to_the_account(who: str, expected: bool) -> None:
    own, theirs = policy(Action="kms:*"), policy(Action="kms:*", Principal={"AWS": who})
    assert is_allowed(Ask(WHO, "kms:Decrypt", KEY), identity=[own], resource=[theirs]) is expected


def test_a_role_is_taken_only_by_whom_it_trusts() -> None:
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": WHO}}]}
    asked = [Ask(who, "sts:AssumeRole", "arn:aws:iam::123456789012:role/r") for who in (WHO, "someone")]
    assert [may_assume(trust, one) for one in asked] == [True, False]
