"""Finds every sender: each module of this package that has `FEEDS`, and each entry point of other packages.

A new sender is a new file, named nowhere else. A package of one's own brings senders by an entry point of the group
`claims_pipeline.feeds`, whose value is a module with `FEEDS`. A module may have `REPORTS` besides.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType

from claims_pipeline import feeds as package
from claims_pipeline.feeds.contract import Feed, Sender
from claims_pipeline.feeds.reports import Report, check_reports, report_of

ENTRY_POINTS = "claims_pipeline.feeds"


@functools.cache
def all_feeds() -> tuple[Feed, ...]:
    """Every feed, in the order of module names and of their declaration; entry points last.

    Raises:
        ValueError: two feeds of one name, or two senders that claim one name.
    """
    found: dict[str, Feed] = {}
    senders: dict[str, Sender] = {}
    for module in _modules():
        for feed in getattr(module, "FEEDS", ()):
            if feed.name in found:
                raise ValueError(f"two feeds are named {feed.name}; the second is in {module.__name__}")
            if senders.setdefault(feed.sender.name, feed.sender) != feed.sender:
                raise ValueError(f"two senders are named {feed.sender.name}; the second is in {module.__name__}")
            found[feed.name] = feed
    return tuple(found.values())


def reports_on(feeds: Iterable[Feed]) -> tuple[Report, ...]:
    """The reports that can be made of these feeds alone: of their contracts' `BiView`s, then of `REPORTS`.

    Raises:
        ValueError: two reports of one name, or two of which one would give away what the other hides.
    """
    there = tuple(feeds)
    kin = {feed.sender.name: tuple(f for f in there if f.sender.name == feed.sender.name) for feed in there}
    found = [report for feed in there if (report := report_of(feed, kin[feed.sender.name]))]
    for module in _modules():
        for report in getattr(module, "REPORTS", ()):
            names = {feed.dataset for feed in kin.get(report.sender.name, ())}
            if names >= set(report.reads):
                found.append(report)
    check_reports(found)
    return tuple(found)


@functools.cache
def all_reports() -> tuple[Report, ...]:
    """Every report."""
    return reports_on(all_feeds())


def all_senders() -> tuple[Sender, ...]:
    """Every sender that has a feed, in order."""
    return tuple({feed.sender.name: feed.sender for feed in all_feeds()}.values())


def feeds_of(sender: str) -> tuple[Feed, ...]:
    """The feeds of one sender, by its name; empty when unknown."""
    return tuple(feed for feed in all_feeds() if feed.sender.name == sender)


def children_of(feed: Feed) -> tuple[Feed, ...]:
    """The feeds whose rows are replaced as sets with rows of this one."""
    return tuple(f for f in feeds_of(feed.sender.name) if f.replaced_set and f.replaced_set.parent == feed.dataset)


def family(feed: Feed) -> tuple[Feed, ...]:
    """The feed, and those whose tables its loads read or change: its parent, and sets that are replaced with it."""
    parent = feed.replaced_set.parent if feed.replaced_set else None
    return (feed, *(f for f in feeds_of(feed.sender.name) if f.dataset == parent), *children_of(feed))


def feed_named(name: str) -> Feed:
    """The feed "sender/dataset".

    Raises:
        KeyError: no such feed; the message lists those that exist.
    """
    for feed in all_feeds():
        if feed.name == name:
            return feed
    known = ", ".join(feed.name for feed in all_feeds())
    raise KeyError(f"no feed {name!r}; known: {known}")


def _modules() -> Iterator[ModuleType]:
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        yield importlib.import_module(f"{package.__name__}.{info.name}")
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        yield point.load()
