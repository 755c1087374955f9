"""What arrives: one declarative module per sender, and the registry that finds them. No I/O."""

from claims_pipeline.feeds.contract import Feed, Sender
from claims_pipeline.feeds.registry import all_feeds, all_senders, children_of, family, feed_named, feeds_of

__all__ = ["Feed", "Sender", "all_feeds", "all_senders", "children_of", "family", "feed_named", "feeds_of"]
