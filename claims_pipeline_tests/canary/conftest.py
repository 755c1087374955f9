"""Fixtures: scenes, and what is left of a round in which everything was broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from claims_pipeline.local import LocalServices
from claims_pipeline.local.postgres import postgres_files
from claims_pipeline_tests.canary.scene import Scene, scene

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


FIGURES = pytest.StashKey[str]()
"""What a round planted and searched, for the end of the test session's report."""


@pytest.fixture(scope="module")
def stage(
    services: LocalServices, s3: S3Client, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """A scene for all tests of a module."""
    with scene(services, s3, migrated, tmp_path_factory.mktemp("canary"), server_log(tmp_path_factory)) as made:
        yield made


def server_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the session's embedded Postgres, which all workers share (see `fix_services`)."""
    base = tmp_path_factory.getbasetemp()
    states = [folder / "services" for folder in (base, base.parent)]
    return next(postgres_files(state).log for state in states if postgres_files(state).log.exists())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell the round's figures, where one process has run all tests."""
    if FIGURES in config.stash:
        terminalreporter.write_line(f"canary: {config.stash[FIGURES]}")
