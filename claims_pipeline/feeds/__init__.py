"""What arrives: one declarative module per sender, and the registry that finds them. No I/O."""

from claims_pipeline.feeds.contract import Feed, Sender
from claims_pipeline.feeds.registry import (
    all_feeds,
    all_reports,
    all_senders,
    children_of,
    family,
    feed_named,
    feeds_of,
    reports_on,
)
from claims_pipeline.feeds.reports import Report

__all__ = [
    "Feed",
    "Report",
    "Sender",
    "all_feeds",
    "all_reports",
    "all_senders",
    "children_of",
    "family",
    "feed_named",
    "feeds_of",
    "reports_on",
]
