"""What to say: from a report to a Slack message. Pure functions.

Belongs here: the words of every message and their order; what a person woken at night is to do. Does not belong here:
sending (`slack`), and whether to send at all (`router`). The inputs hold names, counts and rule ids only, and nothing
else is read, so no message can hold a value of a record.
"""

from claims_pipeline.alerts.messages.inbox import delivery_message, events_message, waiting_message
from claims_pipeline.alerts.messages.message import MAX_TEXT, Message, Posted
from claims_pipeline.alerts.messages.runs import crash_message, digest_message, next_step, run_headline, run_message
from claims_pipeline.alerts.messages.upkeep import TASKS, task_title, upkeep_message

__all__ = [
    "MAX_TEXT",
    "TASKS",
    "Message",
    "Posted",
    "crash_message",
    "delivery_message",
    "digest_message",
    "events_message",
    "next_step",
    "run_headline",
    "run_message",
    "task_title",
    "upkeep_message",
    "waiting_message",
]
