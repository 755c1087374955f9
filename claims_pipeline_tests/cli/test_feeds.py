"""`claims-pipeline feeds`: the gate for personal data, senders of other packages included, and the dictionary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from claims_pipeline_tests.cli.terminal import call, call_json

Linted = Callable[[str], subprocess.CompletedProcess[str]]

CONTRACT = '''
import datetime as dt
from claims_pipeline.feeds import contract as c

class Guests(c.FeedModel):
    """One row per guest."""

    guest_id: c.BigInt = c.column("Guest", key=True)
    email: c.Text = c.column("E-mail address"{treatment})

SENDER = c.Sender("hotel", "A hotel", "UTC", "hotel/", dt.date(2026, 1, 1))
FEEDS = (c.Feed(SENDER, "guests", Guests, (r"^guests",)),)
'''


@pytest.fixture
def linted(tmp_path: Path) -> Linted:
    """Runs the gate where a package of somebody else brings a sender with this treatment of an e-mail address."""

    def run(treatment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "our_hotel.py").write_text(CONTRACT.replace("{treatment}", treatment))
        info = tmp_path / "our_hotel-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-hotel\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[claims_pipeline.feeds]\nhotel = our_hotel\n")
        return subprocess.run(
            [sys.executable, "-m", "claims_pipeline.cli", "feeds", "lint", "--json"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_contracts_of_this_repository_pass_the_gate() -> None:
    done = call("feeds", "lint")
    assert done.exit_code == 0, done.output
    assert "every personal one has a treatment" in done.stdout


def test_a_sender_of_another_package_does_not_pass_without_a_treatment(linted: Linted) -> None:
    done = linted("")
    (finding,) = json.loads(done.stdout)
    assert (done.returncode, finding["place"]) == (1, "hotel/guests.email")


def test_a_sender_of_another_package_passes_with_one(linted: Linted) -> None:
    done = linted(", pii=c.Pii.DIRECT, treatment=c.Drop()")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_make_lint_asks_the_gate() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "feeds lint" in makefile.partition("\nlint:")[2].partition("\n\n")[0]


def test_the_dictionary_is_written_as_one_page(tmp_path: Path) -> None:
    file = tmp_path / "dictionary.html"
    assert call("feeds", "dictionary", "--html", str(file)).exit_code == 0
    assert file.read_text(encoding="utf-8").count("<!doctype html>") == 1


def test_the_dictionary_is_json_for_programs() -> None:
    assert [sender["name"] for sender in call_json("feeds", "dictionary")["senders"]] == ["indici", "va_form526"]


def test_the_dictionary_is_markdown_for_a_terminal() -> None:
    assert call("feeds", "dictionary").stdout.startswith("# Data dictionary\n")
