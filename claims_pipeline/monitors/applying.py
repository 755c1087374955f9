"""Bringing Datadog to the declaration: what differs, and the calls that settle it.

Belongs here: which monitors and dashboards are ours, what is to be created, updated, deleted. Does not belong here: the
declaration (`declared`, `dashboard`), HTTP (`http_api`).

Ours is a monitor with the tag `OURS` and our env, known by its tag `claims_monitor:...`; and a dashboard with our title
whose description holds `OURS`. Only fields that are declared are compared: what people mute stays muted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.monitors.dashboard import TITLE, dashboard
from claims_pipeline.monitors.declared import OURS, Target, declared_for, key_tag, monitors
from claims_pipeline.monitors.http_api import DatadogApi, Json

What = Literal["create", "update", "delete", "unchanged"]
Kind = Literal["monitor", "dashboard"]


@dataclass(frozen=True)
class Change:
    """What is to be done about one monitor or dashboard.

    Attributes:
        what: to be done.
        kind: monitor or dashboard.
        name: as people see it.
        identity: Datadog's id; empty where it is to be made.
        differs: paths of the fields that differ, such as "options.thresholds.critical".
        body: what is sent.
    """

    what: What
    kind: Kind
    name: str
    identity: str = ""
    differs: tuple[str, ...] = ()
    body: Json = field(default_factory=dict, repr=False)


def plan(api: DatadogApi, target: Target) -> list[Change]:
    """What differs between the declaration and the account, unchanged ones included.

    Raises:
        Transient, ClaimsPipelineError: Datadog cannot be reached, or refuses.
    """
    live: dict[str, list[Json]] = {}
    for monitor in api.monitors(_tags(target)):
        key = next((tag for tag in monitor["tags"] if tag.startswith(key_tag(""))), "")
        live.setdefault(key, []).append(monitor)
    changes: list[Change] = []
    for declared, body in zip(declared_for(target), monitors(target), strict=True):
        same = sorted(live.pop(key_tag(declared.key), []), key=lambda monitor: int(monitor["id"]))
        changes.append(_settle("monitor", body["name"], body, same[0] if same else None))
        changes += [_gone("monitor", extra["name"], extra) for extra in same[1:]]  # two who applied at once
    changes += [_gone("monitor", old["name"], old) for olds in live.values() for old in olds]
    boards = _dashboards(api)
    changes.append(_settle("dashboard", TITLE, dashboard(), api.get("dashboard", boards[0]["id"]) if boards else None))
    return changes + [_gone("dashboard", TITLE, extra) for extra in boards[1:]]


def apply(api: DatadogApi, changes: Sequence[Change]) -> None:
    """Do what a plan says; what it left out is not touched.

    Raises:
        Transient, ClaimsPipelineError: a call failed; those before it are done, and a new plan goes on from there.
    """
    for change in changes:
        if change.what == "create":
            api.create(change.kind, change.body)
        elif change.what == "update":
            api.update(change.kind, change.identity, change.body)
        elif change.what == "delete":
            api.delete(change.kind, change.identity)


def delete(api: DatadogApi, target: Target, *, with_dashboard: bool) -> list[Change]:
    """The plan that takes away what is ours of an env.

    Args:
        api: the account.
        target: whose monitors.
        with_dashboard: the dashboard too, which serves all envs.

    Raises:
        Transient, ClaimsPipelineError: Datadog cannot be reached, or refuses.
    """
    gone = [_gone("monitor", monitor["name"], monitor) for monitor in api.monitors(_tags(target))]
    boards = _dashboards(api) if with_dashboard else []
    return gone + [_gone("dashboard", TITLE, board) for board in boards]


def difference(declared: Any, live: Any, path: str = "") -> list[str]:  # noqa: ANN401 - JSON
    """Paths at which JSON lacks what is declared, or says otherwise; fields that are not declared do not count."""
    if isinstance(declared, dict) and isinstance(live, dict):
        return [one for name, value in declared.items() for one in difference(value, live.get(name), f"{path}.{name}")]
    if isinstance(declared, list) and isinstance(live, list) and len(declared) == len(live):
        if all(isinstance(item, str) for item in (*declared, *live)):  # tags: Datadog sorts them
            return [] if sorted(declared) == sorted(live) else [path.removeprefix(".")]
        pairs = enumerate(zip(declared, live, strict=True))
        return [one for place, (value, other) in pairs for one in difference(value, other, f"{path}[{place}]")]
    # Datadog answers null where an option is off.
    return [] if declared == live or (live is None and not declared) else [path.removeprefix(".")]


def _tags(target: Target) -> list[str]:
    return [OURS, f"env:{target.env}"]


def _dashboards(api: DatadogApi) -> list[Json]:
    found = [board for board in api.dashboards() if OURS in (board.get("description") or "")]
    return sorted((board for board in found if board.get("title") == TITLE), key=lambda board: str(board["id"]))


def _settle(kind: Kind, name: str, body: Json, live: Json | None) -> Change:
    if live is None:
        return Change("create", kind, name, body=body)
    if kind == "monitor" and live.get("type") not in (body["type"], "metric alert"):
        raise ClaimsPipelineError(
            f"monitor {live['id']} has our tags and is of another type, which Datadog cannot change: delete it"
        )
    # Datadog answers "query alert" as "metric alert" where a query is simple.
    compared = {key: value for key, value in body.items() if key != "type"} if kind == "monitor" else body
    differs = tuple(difference(compared, live))
    return Change("update" if differs else "unchanged", kind, name, str(live["id"]), differs, body)


def _gone(kind: Kind, name: str, live: Json) -> Change:
    return Change("delete", kind, name, str(live["id"]))
