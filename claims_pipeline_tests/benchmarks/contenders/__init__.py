"""Who loads the dumps: the floor, ours in two ways, and other tools; one module each.

Belongs here: what a contender must say of itself. Does not belong here: measuring, comparing (runner.py, report.py).

A contender gets an empty database and then the files of a chain, one after another. Whatever it needs besides a load
(an empty table, a file in the inbox) is made ready before and not measured. Each load is a process of its own; its last
line of standard output may be a JSON object with `seconds` (the work alone, without starting an interpreter and
importing libraries; the whole process counts where it is missing) and `stages` (name to seconds).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from claims_pipeline_tests.benchmarks.cases import Chain, Ending, Step
from claims_pipeline_tests.benchmarks.site import Site


@dataclass(frozen=True)
class Command:
    """A process to be measured.

    Attributes:
        words: program and arguments; no secret.
        env: environment variables besides the usual ones.
    """

    words: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


class Contender(ABC):
    """One way to load dumps into a table.

    Attributes:
        name: in results and for --only; also its database's.
        title: in tables for people.
        chains: names of the chains that it can load.
    """

    name: str
    title: str
    chains: frozenset[str] = frozenset({"daily", "delta"})

    def missing(self, site: Site) -> str | None:
        """Why it cannot run here, in a line; None if it can."""
        return None

    def prepare(self, site: Site, chain: Chain) -> None:
        """Begin a chain: empty everything."""
        site.empty_database(self.name)

    def ending(self, chain: Chain) -> Ending:
        """The kind of file that it loads."""
        return "csv"

    def make_ready(self, site: Site, chain: Chain, step: Step, file: Path) -> None:  # noqa: B027 - most need nothing
        """Put things in place for a load."""

    @abstractmethod
    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        """The load."""

    def table(self, chain: Chain) -> str:
        """The table that it loads, as SQL."""
        return f"public.{chain.feed.dataset}"
