"""Fixtures that listen: an HTTP server that answers as Slack's Web API does, and a UDP socket in an agent's place.

Belongs here: recording what the product really sends, and the answers that Slack really gives. Does not belong here:
what is expected (that is for the tests).
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from claims_pipeline.alerts.once import say_once


@dataclass(frozen=True)
class SlackCall:
    """One HTTP request to the Slack API: its method ("chat.postMessage"), JSON and Authorization header."""

    method: str
    payload: dict[str, Any]
    authorization: str


@dataclass(frozen=True)
class SlackAnswer:
    """What the listener answers to one request.

    Attributes:
        status: HTTP status.
        error: Slack's error code; empty for ok.
        retry_after: seconds of the Retry-After header; None for no header.
        text: a body that is not JSON, as proxies and gateways send.
        silent: no answer at all until the listener stops.
    """

    status: int = 200
    error: str = ""
    retry_after: str | None = None
    text: str | None = None
    silent: bool = False


OK = SlackAnswer()
SERVER_ERROR = SlackAnswer(status=500, text="<html>internal error</html>")
INVALID_AUTH = SlackAnswer(error="invalid_auth")
SILENCE = SlackAnswer(silent=True)


def rate_limited(seconds: str) -> SlackAnswer:
    """Slack's answer to too many requests."""
    return SlackAnswer(status=429, error="ratelimited", retry_after=seconds)


class SlackListener:
    """A Slack API on a free port of this machine; answers ok unless told otherwise."""

    def __init__(self) -> None:
        self.calls: list[SlackCall] = []
        self._answers: deque[SlackAnswer] = deque()
        self._stopping = threading.Event()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                call = SlackCall(
                    method=self.path.removeprefix("/api/"),
                    payload=json.loads(body),
                    authorization=self.headers["Authorization"],
                )
                listener._answer(self, call)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Keep requests out of the test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """The API's root, as Slack's own ends."""
        return f"http://127.0.0.1:{self._server.server_port}/api/"

    @property
    def methods(self) -> list[str]:
        """The methods that were called, in order."""
        return [call.method for call in self.calls]

    def will_answer(self, *answers: SlackAnswer) -> None:
        """Answer the next requests so, in order; ok to those after them."""
        self._answers.extend(answers)

    def stop(self) -> None:
        """Close the port, and let go of requests that wait."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler, call: SlackCall) -> None:
        self.calls.append(call)
        answer = self._answers.popleft() if self._answers else OK
        if answer.silent:
            self._stopping.wait()
            return
        content: dict[str, object] = {"ok": False, "error": answer.error}
        if not answer.error:
            ts = call.payload.get("ts", f"1700000000.{len(self.calls):06}")
            content = {"ok": True, "channel": "C0CLAIMS", "ts": ts}
        body = (json.dumps(content) if answer.text is None else answer.text).encode()
        handler.send_response(answer.status)
        handler.send_header("Content-Type", "application/json" if answer.text is None else "text/html")
        handler.send_header("Content-Length", str(len(body)))
        if answer.retry_after is not None:
            handler.send_header("Retry-After", answer.retry_after)
        handler.end_headers()
        handler.wfile.write(body)


@dataclass(frozen=True)
class StatsdLine:
    """A metric as it came over the wire; type "c" is a count, "d" a distribution."""

    name: str
    value: float
    type: str
    tags: dict[str, str]


class StatsdListener:
    """A DogStatsD agent's UDP port: what was sent waits in the socket until it is asked for."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._socket.bind(("127.0.0.1", 0))
        self.packets: list[str] = []

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def lines(self, *, at_least: int = 0) -> list[str]:
        """Every line received so far; waits up to ten seconds until there are so many."""
        give_up = time.monotonic() + 10
        while True:
            lines = [line for packet in self.packets for line in packet.splitlines()]
            # What was sent before this call is in the socket already; only the promised lines are waited for.
            self._socket.settimeout(0 if len(lines) >= at_least else max(0.01, give_up - time.monotonic()))
            try:
                self.packets.append(self._socket.recv(65536).decode())
            except (BlockingIOError, TimeoutError):
                return lines

    def metrics(self, *, at_least: int = 1) -> list[StatsdLine]:
        """Every metric received so far."""
        return [self._parse(line) for line in self.lines(at_least=at_least) if not line.startswith("_e{")]

    def events(self, *, at_least: int = 1) -> list[str]:
        """Every event received so far, as sent; waits for so many lines of any kind."""
        return [line for line in self.lines(at_least=at_least) if line.startswith("_e{")]

    def stop(self) -> None:
        """Close the port."""
        self._socket.close()

    @staticmethod
    def _parse(line: str) -> StatsdLine:
        measured, kind, *rest = line.split("|")
        name, _, value = measured.partition(":")
        tags = next((part[1:] for part in rest if part.startswith("#")), "")
        pairs = (tag.partition(":") for tag in tags.split(",") if tag)
        return StatsdLine(name=name, value=float(value), type=kind, tags={key: value for key, _, value in pairs})


@pytest.fixture
def fresh_alerts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing was said yet in this process, and no proxy or Datadog variable of the machine takes part."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DD_DOGSTATSD_DISABLE", "DATADOG_TAGS", "DD_ENTITY_ID", "DD_ENV", "DD_SERVICE", "DD_VERSION"):
        monkeypatch.delenv(name, raising=False)
    say_once.cache_clear()
    yield
    say_once.cache_clear()


@pytest.fixture
def slack_api(fresh_alerts: None) -> Iterator[SlackListener]:
    """A Slack API that records and answers."""
    listener = SlackListener()
    yield listener
    listener.stop()


@pytest.fixture
def statsd(fresh_alerts: None) -> Iterator[StatsdListener]:
    """A DogStatsD agent's port that records."""
    listener = StatsdListener()
    yield listener
    listener.stop()
