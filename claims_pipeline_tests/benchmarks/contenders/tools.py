"""Other tools, each in a virtual environment of its own below the site: dlt, Sling, Meltano's target-postgres.

Belongs here: what is installed, and how each is asked to load a file by its own documentation's fastest way. Does not
belong here: what is then run inside their environments (scripts/), which know nothing of this project.

None of them validates, tokenises, sets rows apart or keeps history here: they only bring rows into a table, by key.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from claims_pipeline_tests.benchmarks.cases import Chain, Ending, Step
from claims_pipeline_tests.benchmarks.contenders import Command, Contender
from claims_pipeline_tests.benchmarks.site import Site

SCRIPTS = Path(__file__).parent / "scripts"

REQUIREMENTS = {
    "dlt": ("dlt[postgres]==1.31.0", "pyarrow==26.0.1", "adbc-driver-postgresql==1.13.0"),
    # The last package that holds the program (Linux, x86-64): `sling` downloads it from GitHub when it is first used.
    "sling": ("sling-linux-amd64==1.4.11",),
    "meltano": ("meltanolabs-target-postgres==0.8.1",),
    "tpchgen": ("tpchgen-cli==4.0.0",),
}
"""By tool, what is installed."""


def install(site: Site, tool: str) -> str | None:
    """Install a tool into its own environment, unless it is there.

    Returns:
        None, or why it could not be installed, in a line.
    """
    folder = site.venv(tool)
    done = folder / "installed"
    wanted = "\n".join(REQUIREMENTS[tool])
    if done.exists() and done.read_text() == wanted:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for words in ((sys.executable, "-m", "venv", str(folder)), (*pip, *REQUIREMENTS[tool])):
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            return f"{tool} cannot be installed: {(ended.stderr.strip().splitlines() or ['no reason told'])[-1]}"
    done.write_text(wanted)
    return None


def program(site: Site, tool: str, name: str) -> Path:
    """A program of a tool's environment."""
    return site.venv(tool) / "bin" / name


class _Tool(Contender):
    """What the tools have in common: types and key come from a small file that is written before each load."""

    def missing(self, site: Site) -> str | None:
        """Whether it is installed."""
        return None if (site.venv(self.name) / "installed").exists() else f"{self.name} is not installed"

    def make_ready(self, site: Site, chain: Chain, step: Step, file: Path) -> None:
        """Write the columns' types and the key."""
        types = {column.name: str(column.arrow) for column in chain.feed.columns}
        spec = {"table": chain.feed.dataset, "key": list(chain.feed.key), "columns": types}
        self.spec(site).write_text(json.dumps(spec))

    def spec(self, site: Site) -> Path:
        """The file with types and key."""
        return site.folder / f"{self.name}.json"


class Dlt(_Tool):
    """Arrow tables from pyarrow, Parquet files, ADBC, merge strategy `upsert`."""

    name = "dlt"
    title = "dlt: Arrow, ADBC, `upsert`"
    chains = frozenset({"daily", "delta", "lineitem"})

    def prepare(self, site: Site, chain: Chain) -> None:
        """Besides: dlt's own folder of earlier rounds."""
        super().prepare(site, chain)
        shutil.rmtree(site.folder / "dlt", ignore_errors=True)

    def ending(self, chain: Chain) -> Ending:
        """Deltas come as Parquet."""
        return "parquet" if chain.name == "delta" else "csv"

    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        """scripts/dlt_load.py."""
        words = (str(program(site, self.name, "python")), str(SCRIPTS / "dlt_load.py"), str(file), str(self.spec(site)))
        folder = str(site.folder / "dlt")
        return Command(words, {"BENCH_URL": site.url(self.name), "DLT_DATA_DIR": folder})


class Sling(_Tool):
    """`sling run` in incremental mode with a primary key."""

    name = "sling"
    title = "Sling: incremental by key"
    chains = frozenset({"daily", "delta", "lineitem"})

    def missing(self, site: Site) -> str | None:
        """Whether its program is there."""
        return super().missing(site) or (None if self._programs(site) else "sling's package has no program for this OS")

    def _programs(self, site: Site) -> list[Path]:
        return list(site.venv(self.name).glob("lib/python*/site-packages/sling_*/bin/sling-*"))

    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        """The program itself, without the Python around it."""
        words = (
            *(str(self._programs(site)[0]), "run", "--src-stream", f"file://{file}", "--tgt-conn", "BENCH"),
            *("--tgt-object", f"public.{chain.feed.dataset}", "--mode", "incremental"),
            *("--primary-key", ",".join(chain.feed.key)),
        )
        url = f"{site.url(self.name)}?sslmode=disable"
        home = str(site.folder / "sling")
        return Command(words, {"BENCH": url, "SLING_HOME_DIR": home, "SLING_DISABLE_TELEMETRY": "true"})


class Meltano(_Tool):
    """A small Singer tap of ours, piped into target-postgres with `use_copy`."""

    name = "meltano"
    title = "Meltano's target-postgres, `use_copy`"

    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        """scripts/singer_tap.py | target-postgres."""
        python, target = (str(program(site, self.name, name)) for name in ("python", "target-postgres"))
        pipe = '"$0" "$1" "$2" "$3" | "$4" --config=ENV'
        words = ("/bin/sh", "-c", pipe, python, str(SCRIPTS / "singer_tap.py"), str(file), str(self.spec(site)), target)
        env = {
            "TARGET_POSTGRES_SQLALCHEMY_URL": site.url(self.name).replace("postgresql://", "postgresql+psycopg://"),
            "TARGET_POSTGRES_USE_COPY": "true",
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "public",
            "TARGET_POSTGRES_LOAD_METHOD": "upsert",
            "TARGET_POSTGRES_ADD_RECORD_METADATA": "false",
            "TARGET_POSTGRES_ACTIVATE_VERSION": "false",
            "TARGET_POSTGRES_VALIDATE_RECORDS": "false",
            "TARGET_POSTGRES_BATCH_SIZE_ROWS": "100000",
        }
        return Command(words, env)
