"""The image, built from a copy of the tree, and containers of it as a cluster would run them.

Belongs here: calling the Docker client. Does not belong here: what is expected of the image.

The base is PYTHON_IMAGE (`make test-image` sets it). Nothing here skips: who asks for these tests has a daemon.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from claims_pipeline.settings import PROJECT_ROOT

# As the restricted profile of Kubernetes demands, and a read-only file system besides.
RESTRICTED = (
    "--read-only",
    "--tmpfs=/tmp:rw,nosuid,noexec,size=512m",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
_GZIP = b"\x1f\x8b"
_BUILT_FROM = ("pyproject.toml", ".dockerignore", "claims_pipeline", "deploy")


@dataclass(frozen=True)
class Image:
    """An image that was built."""

    tag: str

    def run(self, *command: str, network: str = "none", env_file: Path | None = None) -> str:
        """Run a command to its end in a container; what it wrote.

        Raises:
            AssertionError: its exit code is not 0; the text says what it wrote.
        """
        finished = _docker(["run", "--rm", *_options(network, env_file), self.tag, *command])
        assert finished.returncode == 0, finished.stdout
        return finished.stdout

    @contextmanager
    def serving(self, *command: str, network: str = "none", env_file: Path | None = None) -> Iterator[Container]:
        """A container that runs meanwhile."""
        name = f"claims-test-{secrets.token_hex(6)}"
        docker("run", "--detach", f"--name={name}", *_options(network, env_file), self.tag, *command)
        try:
            yield Container(name)
        finally:
            docker("rm", "--force", name)


@dataclass(frozen=True)
class Container:
    """A container that runs."""

    name: str

    def does(self, *command: str) -> bool:
        """Whether a command succeeds in it."""
        return _docker(["exec", self.name, *command]).returncode == 0

    def stop(self) -> int:
        """Ask it to end, as a cluster does, wait a minute before it is killed (137); its exit code."""
        docker("stop", "--time=60", self.name)
        return int(docker("inspect", "--format={{.State.ExitCode}}", self.name))

    def said(self) -> str:
        """What it has written."""
        return docker("logs", self.name)


def build(folder: Path, *, planted: Mapping[str, str]) -> Image:
    """Build the image from a copy of the tree.

    Args:
        folder: for the copy.
        planted: files by path that are laid into the copy, to see that they stay out.
    """
    for name in _BUILT_FROM:
        source = PROJECT_ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for path, text in planted.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    tag = f"claims-pipeline-test:{secrets.token_hex(6)}"
    base = os.environ.get("PYTHON_IMAGE", "python:3.12-slim")
    dockerfile = str(folder / "deploy" / "Dockerfile")
    docker("build", f"--file={dockerfile}", f"--build-arg=PYTHON_IMAGE={base}", f"--tag={tag}", str(folder))
    return Image(tag)


def docker(*arguments: str) -> str:
    """Call the Docker client; what it wrote.

    Raises:
        AssertionError: it failed, as without a daemon.
    """
    finished = _docker(arguments)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout.strip()


def contains(image: Image, wanted: bytes) -> bool:
    """Whether bytes occur anywhere in the image: in any layer, or in what it says of itself."""
    found = False
    with (
        subprocess.Popen(["docker", "save", image.tag], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as saved,
    ):
        for member in saved:
            content = saved.extractfile(member)
            if content is not None:
                found = _occurs(wanted, content) or found
    assert process.returncode == 0
    return found


def _occurs(wanted: bytes, content: IO[bytes]) -> bool:
    tail = content.read(len(_GZIP))
    # Some daemons keep layers packed.
    unpacker = zlib.decompressobj(wbits=31) if tail == _GZIP else None
    if unpacker is not None:
        tail = unpacker.decompress(tail)
    while read := content.read(1 << 20):
        block = read if unpacker is None else unpacker.decompress(read)
        if wanted in tail + block:
            return True
        tail = block[-len(wanted) :]
    return False


def _options(network: str, env_file: Path | None) -> list[str]:
    # A file, not arguments: every user of the machine can list those.
    return [*RESTRICTED, f"--network={network}", *([] if env_file is None else [f"--env-file={env_file}"])]


def _docker(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
