"""Datadog's HTTP API, as far as monitors and dashboards ask for it.

Belongs here: calls, pages, retries, and errors in words. Does not belong here: what is to be changed (`applying`).
Keys go into headers alone; no error of ours holds one, nor an answer's text.
"""

from __future__ import annotations

import json
from typing import Any

import urllib3
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from claims_pipeline.alerts.text import one_line
from claims_pipeline.errors import ClaimsPipelineError, Transient

Json = dict[str, Any]

_PAGE = 100
_TRIES = 4
_MAX_ERRORS = 300  # characters of Datadog's own words about a refused request
_RETRIED = (429, 500, 502, 503, 504)
_TOO_MANY = 429
_LONGEST_PAUSE = 60.0  # seconds


class _AsDatadogAsks(Retry):
    """Retries that wait as long as Datadog says; a call beyond the rate limit was not done, a POST neither.

    Datadog says it in X-RateLimit-Reset, in seconds (API reference, rate limits), and not in HTTP's own header.
    """

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return status_code == _TOO_MANY or super().is_retry(method, status_code, has_retry_after)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = response.headers.get("X-RateLimit-Reset", "") if response.status == _TOO_MANY else ""
        return min(float(asked), _LONGEST_PAUSE) if asked.isdigit() else super().get_retry_after(response)


class DatadogApi:
    """One account of Datadog.

    Args:
        url: root of the API, such as https://api.datadoghq.com.
        api_key: of the account.
        app_key: of a user or service account with the scopes monitors_read, monitors_write, dashboards_read,
            dashboards_write.
        timeout: seconds for each attempt.
    """

    def __init__(self, url: str, *, api_key: str, app_key: str, timeout: float = 20.0) -> None:
        self._url = url.rstrip("/")
        self._headers = {"DD-API-KEY": api_key, "DD-APPLICATION-KEY": app_key, "Content-Type": "application/json"}
        # A POST that was answered with 5xx may have made its monitor: applying again finds it, by its tag. Not retried.
        retry = _AsDatadogAsks(
            total=_TRIES,
            connect=1,
            status_forcelist=_RETRIED,
            allowed_methods=("GET", "PUT", "DELETE"),
            backoff_factor=0.5,
            raise_on_status=False,
        )
        self._pool = urllib3.PoolManager(timeout=timeout, retries=retry)

    def monitors(self, tags: list[str]) -> list[Json]:
        """Every monitor with all of these tags.

        Raises:
            Transient, ClaimsPipelineError: as all calls: Datadog cannot be reached, or refuses.
        """
        found: list[Json] = []
        while True:
            page = len(found) // _PAGE
            some = self._call(
                "GET", "monitor", fields={"monitor_tags": ",".join(tags), "page": str(page), "page_size": str(_PAGE)}
            )
            found += some
            if len(some) < _PAGE:
                # A filter that the server does not know would hand out everything: ours is what has the tags.
                return [monitor for monitor in found if set(tags) <= set(monitor.get("tags") or ())]

    def dashboards(self) -> list[Json]:
        """Every dashboard in short: id, title, description."""
        found: dict[str, Json] = {}
        while True:
            fields = {"count": str(_PAGE), "start": str(len(found))}
            some = self._call("GET", "dashboard", fields=fields).get("dashboards") or ()
            before = len(found)
            found |= {str(board["id"]): board for board in some}
            # A server that does not know pages hands out the same ones again.
            if len(some) < _PAGE or len(found) == before:
                return list(found.values())

    def get(self, kind: str, identity: str) -> Json:
        """A "monitor" or "dashboard" in full."""
        return dict(self._call("GET", f"{kind}/{identity}", fields={}))

    def create(self, kind: str, body: Json) -> Json:
        """Make one; Datadog's answer."""
        return dict(self._call("POST", kind, body=body))

    def update(self, kind: str, identity: str, body: Json) -> Json:
        """Change one; Datadog's answer."""
        return dict(self._call("PUT", f"{kind}/{identity}", body=body))

    def delete(self, kind: str, identity: str) -> None:
        """Delete one; it may be gone already."""
        self._call("DELETE", f"{kind}/{identity}", fields={})

    def _call(self, method: str, path: str, *, fields: dict[str, str] | None = None, body: Json | None = None) -> Any:  # noqa: ANN401 - JSON
        payload = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.request(
                method, f"{self._url}/api/v1/{path}", headers=self._headers, fields=fields or None, body=payload
            )
        except urllib3.exceptions.HTTPError as error:
            raise Transient(f"Datadog's API could not be reached: {type(error).__name__}") from None
        if answer.status in _RETRIED:
            raise Transient(f"Datadog's API answered {method} {path} with {answer.status}")
        if answer.status in (401, 403):
            raise ClaimsPipelineError(
                f"Datadog's API answered {answer.status}: CLAIMS_DATADOG_API_KEY or CLAIMS_DATADOG_APP_KEY is wrong, "
                "lacks a scope, or belongs to another site than CLAIMS_DATADOG_API_URL"
            )
        if answer.status >= 300 and (method, answer.status) != ("DELETE", 404):
            raise ClaimsPipelineError(
                f"Datadog's API refused {method} {path} with {answer.status}: {_errors(answer.data)}"
            )
        try:
            return json.loads(answer.data or b"{}")
        except ValueError:
            raise ClaimsPipelineError(
                f"{method} {path} was not answered with JSON: is CLAIMS_DATADOG_API_URL Datadog's API?"
            ) from None


def _errors(data: bytes) -> str:
    """Datadog's own words; they quote what we sent, which holds no secret."""
    try:
        told = json.loads(data)["errors"]
    except (ValueError, KeyError, TypeError):
        return "no reason was given"
    return one_line("; ".join(map(str, told)))[:_MAX_ERRORS]
