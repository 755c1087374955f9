"""Finds every sender: each module of this package that has `FEEDS`. A new sender is a new file, named nowhere else."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from claims_pipeline import feeds as package
from claims_pipeline.feeds.contract import Feed, Sender


@functools.cache
def all_feeds() -> tuple[Feed, ...]:
    """Every feed, in the order of module names and of their declaration.

    Raises:
        ValueError: two feeds of one name.
    """
    found: dict[str, Feed] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for feed in getattr(module, "FEEDS", ()):
            if feed.name in found:
                raise ValueError(f"two feeds are named {feed.name}")
            found[feed.name] = feed
    return tuple(found.values())


def all_senders() -> tuple[Sender, ...]:
    """Every sender that has a feed, in order."""
    return tuple({feed.sender.name: feed.sender for feed in all_feeds()}.values())


def feeds_of(sender: str) -> tuple[Feed, ...]:
    """The feeds of one sender, by its name; empty when unknown."""
    return tuple(feed for feed in all_feeds() if feed.sender.name == sender)


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
