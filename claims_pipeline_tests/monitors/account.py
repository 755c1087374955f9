"""A Datadog account over real HTTP: the calls about monitors and dashboards, as Datadog's API reference describes them.

Belongs here: what the account holds, and what it answers. Every monitor and dashboard that is sent is read by Datadog's
own models; one that they do not understand is refused as Datadog does, with 400.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from datadog_api_client.configuration import Configuration
from datadog_api_client.model_utils import OpenApiModel, validate_and_convert_types
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor

API_KEY, APP_KEY = "api-key-of-the-test", "app-key-of-the-test"
_MODELS: dict[str, type[OpenApiModel]] = {"monitor": Monitor, "dashboard": Dashboard}


def not_understood(kind: str, body: dict[str, Any]) -> list[str]:
    """Parts of a monitor or dashboard that Datadog's models do not know; empty where all is well."""
    model = validate_and_convert_types(  # type: ignore[no-untyped-call]  # Datadog's, without types
        body,
        (_MODELS[kind],),
        ["body"],
        True,
        True,
        Configuration(),  # type: ignore[no-untyped-call]  # Datadog's, without types
    )
    return _unparsed(model, kind)


def _unparsed(value: object, path: str) -> list[str]:
    if isinstance(value, OpenApiModel):
        found = [path] if getattr(value, "_unparsed", False) else []
        inner = getattr(value, "_data_store", {})
        return found + [one for name, part in inner.items() for one in _unparsed(part, f"{path}.{name}")]
    if isinstance(value, list):
        return [one for place, part in enumerate(value) for one in _unparsed(part, f"{path}[{place}]")]
    return [path] if type(value).__name__ == "UnparsedObject" else []


class Account:
    """Monitors and dashboards by id, and the calls that were made."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, dict[str, Any]]] = {"monitor": {}, "dashboard": {}}
        self.calls: list[tuple[str, str]] = []
        self.failures: deque[int] = deque()
        self.refused: list[tuple[str, int]] = []
        self._ids = 100
        account = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                keys = (self.headers.get("DD-API-KEY"), self.headers.get("DD-APPLICATION-KEY"))
                known = keys == (API_KEY, APP_KEY)
                status, answer = account.answer(self.command, self.path, body) if known else (403, {"errors": ["no"]})
                payload = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the base class's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Keep requests out of the test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Root of the API."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Calls that changed something."""
        return [call for call in self.calls if call[0] != "GET"]

    @property
    def monitors(self) -> list[dict[str, Any]]:
        """All monitors, in the order of their making."""
        return list(self.held["monitor"].values())

    def add(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Put something into the account, as people do in its web pages."""
        self._ids += 1
        made: dict[str, Any] = {**body, "id": self._ids if kind == "monitor" else f"abc-{self._ids}"}
        self.held[kind][str(made["id"])] = made
        return made

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """One call; tags become lower-case, as Datadog makes them."""
        parts = urlsplit(path)
        _, _, _, kind, *rest = parts.path.split("/")
        self.calls.append((method, "/".join([kind, *rest])))
        if self.failures:
            return self.failures.popleft(), {"errors": ["try again"]}
        for once in [one for one in self.refused if one[0] == method]:
            self.refused.remove(once)
            return once[1], {"errors": ["not now"]}
        if method in ("POST", "PUT") and (strange := not_understood(kind, body)):
            return 400, {"errors": [f"not understood: {one}" for one in strange]}
        if "tags" in body:
            body = {**body, "tags": [tag.lower() for tag in body["tags"]]}
        if method == "POST":
            return 200, self.add(kind, body)
        if not rest:
            return 200, self._listed(kind, parse_qs(parts.query))
        if rest[0] not in self.held[kind]:
            return 404, {"errors": [f"{kind} not found"]}
        if method == "DELETE":
            return 200, self.held[kind].pop(rest[0])
        if method == "PUT":
            # As Datadog does: fields that are not sent stay.
            self.held[kind][rest[0]].update(body)
        return 200, self.held[kind][rest[0]]

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _listed(self, kind: str, query: dict[str, list[str]]) -> Any:
        if kind == "dashboard":
            names = ("id", "title", "description", "layout_type")
            boards = [{name: one.get(name) for name in names} for one in self.held[kind].values()]
            start = int(query.get("start", ["0"])[0])
            return {"dashboards": boards[start : start + int(query.get("count", ["100"])[0])]}
        tags = set(query["monitor_tags"][0].split(","))
        size, page = int(query["page_size"][0]), int(query["page"][0])
        found = [one for one in self.monitors if tags <= set(one.get("tags", ()))]
        return found[page * size : (page + 1) * size]
