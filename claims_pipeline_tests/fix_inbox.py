"""Fixtures: an inbox of any number of keys that nobody has written: ListObjectsV2 over HTTP, from a formula.

Belongs here: S3's protocol of a listing (prefix, start-after, continuation, at most 1,000 keys a page) and the names.
Does not belong here: what is expected; objects, which it has none of.
"""

from __future__ import annotations

import bisect
import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, overload
from urllib.parse import parse_qs, quote, urlsplit

from claims_pipeline.feeds import feeds_of
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.services import s3_session

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

FIRST = dt.date(2024, 1, 1)
DATASETS = sorted(feed.dataset for feed in feeds_of(SENDER.name))


@dataclass(frozen=True)
class Keys(Sequence[str]):
    """Keys of the VA's feeds in S3's order: by dataset, day and time; none of them is kept."""

    days: int
    a_day: int
    first: dt.date = FIRST

    def __len__(self) -> int:
        return len(DATASETS) * self.days * self.a_day

    @overload
    def __getitem__(self, n: int) -> str: ...
    @overload
    def __getitem__(self, n: slice) -> Sequence[str]: ...
    def __getitem__(self, n: int | slice) -> str | Sequence[str]:
        if isinstance(n, slice):
            return [self[one] for one in range(*n.indices(len(self)))]
        if not 0 <= n < len(self):
            raise IndexError
        dataset, rest = divmod(n, self.days * self.a_day)
        day, number = divmod(rest, self.a_day)
        name, date = DATASETS[dataset], self.first + dt.timedelta(days=day)
        time = dt.timedelta(seconds=number * (86_400 // self.a_day))
        stamp = dt.datetime.combine(date, dt.time()) + time
        return f"{SENDER.prefix}{name}/dt={date}/{name}_{stamp:%Y%m%dT%H%M%SZ}.csv"


@dataclass
class Inbox:
    """An S3 with one inbox.

    Attributes:
        keys: of its objects, sorted.
        url: where it listens.
        pages: how many pages it has served.
    """

    keys: Sequence[str]
    url: str = ""
    pages: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def client(self) -> S3Client:
        """A client of it."""
        return s3_session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def page(self, asked: dict[str, str]) -> str:
        """A page of a listing, as S3 words it."""
        with self.lock:
            self.pages += 1
        prefix, after = asked.get("prefix", ""), asked.get("continuation-token", asked.get("start-after", ""))
        begin = max(bisect.bisect_left(self.keys, prefix), bisect.bisect_right(self.keys, after) if after else 0)
        most = int(asked.get("max-keys", "1000"))
        found = [key for key in self.keys[begin : begin + most + 1] if key.startswith(prefix)]
        more, found = len(found) > most, found[:most]
        objects = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>7</Size></Contents>"
            for key in found
        )
        next_token = f"<NextContinuationToken>{found[-1]}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"<KeyCount>{len(found)}</KeyCount>{next_token}{objects}</ListBucketResult>"
        )


@contextmanager
def inbox_of(keys: Sequence[str]) -> Iterator[Inbox]:
    """An inbox with these keys, on a free port."""
    inbox = Inbox(keys)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: the second would wait for the first's acknowledgement

        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            body = inbox.page(asked).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    inbox.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield inbox
    server.shutdown()
    server.server_close()
