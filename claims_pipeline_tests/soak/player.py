"""What a player does: one `catch-up` of the product, in a process of its own that may die at any moment.

Belongs here: what runs in the forked process. Does not belong here: who kills it, and what must be left behind.

Players are forked from a server that has imported and warmed everything (`warm`), so that a round does not pay the
two to three seconds that Python takes to start.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tenacity

from claims_pipeline import catching_up
from claims_pipeline.cli.app import app
from claims_pipeline.cli.output import EXIT_ERROR
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import all_senders
from claims_pipeline.flow import Flow
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings


@dataclass(frozen=True)
class Order:
    """What a player is asked for.

    Attributes:
        sender: whose dumps.
        environment: the settings, and the failpoint.
        log: file that gets its words.
        file_bytes: size beyond which it can write no file; None for no limit.
        threads: catch-ups at once in its one process.
        plant: changes the product before it begins: a defect that the soak must notice.
    """

    sender: str
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    file_bytes: int | None = None
    threads: int = 1
    plant: Callable[[], None] | None = None


def play(order: Order) -> None:
    """Catch up as told, and exit with the command's code."""
    output = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(order.environment)
    tempfile.tempdir = None  # the server has looked already
    # The product waits for seconds before it tries again; it does the same here, only sooner.
    catching_up._patiently.wait = tenacity.wait_fixed(0.1)
    if order.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes, order.file_bytes))
    if order.plant is not None:
        order.plant()
    if order.threads > 1:
        sys.exit(_in_threads(order))
    sys.exit(app(["catch-up", "--sender", order.sender], standalone_mode=False) or 0)


def _in_threads(order: Order) -> int:
    """So many catch-ups at once in this process: the function behind the command, whose display is one per process."""
    (sender,) = [sender for sender in all_senders() if sender.name == order.sender]
    failed: list[int] = []

    def one(number: int) -> None:
        try:
            done = catching_up.catch_up(Flow(Services(get_settings()), run_id=f"thread-{number}"), sender)
        except ClaimsPipelineError:
            failed.append(number)
        else:
            failed.extend(number for dump in done if dump.is_open)

    threads = [threading.Thread(target=one, args=[number]) for number in range(order.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return EXIT_ERROR if failed else 0
