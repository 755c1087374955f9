"""A door in front of an emulator of AWS that lets through what IAM policies allow, over HTTP.

Belongs here: what each request asks for, in IAM's words (the "Service Authorization Reference" of AWS). Does not
belong here: what is allowed (policies.py), the account behind (account.py). For the tests of deploy/aws only.

Signatures are not checked. With an object under SSE-KMS the right to its key is asked for as S3 does: with the
bucket's ARN as encryption context, since our buckets have bucket keys. Where one object of a batch may not be deleted,
none is (S3 deletes the others).
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as Xml

from claims_pipeline_tests.deploy.policies import Ask

_HOP = {"expect", "connection", "transfer-encoding", "keep-alive", "content-length"}
_JSON = "application/x-amz-json-1.0"
_ENCRYPTION = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
)


class Account(Protocol):
    """What the gate must know of the account behind it."""

    address: tuple[str, int]
    region: str

    def principal(self, access_key: str) -> str: ...
    def took_role(self, access_key: str, role_arn: str) -> None: ...
    def allows(self, ask: Ask) -> bool: ...
    def allows_role(self, ask: Ask) -> bool: ...
    def bucket_key(self, bucket: str) -> str: ...
    def secret(self, name: str) -> tuple[str, str]: ...


class Gate(ThreadingHTTPServer):
    """The server; `asked` and `refused` are what was asked for, in order.

    Attributes:
        secure: whether requests count as sent over TLS.
    """

    daemon_threads = True

    def __init__(self, account: Account) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.account = account
        self.secure = True
        self.asked: list[Ask] = []
        self.refused: list[Ask] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _RefusedError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._service = ""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            found = self._pass(body)
        except _RefusedError:
            found = self._denial()
        status, headers, answer = found
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(_length(headers, answer, self.command)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815 - the server's own names

    # ------------------------------------------------------------------------------------------ who, and what

    def _pass(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        scope = re.search(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/", self.headers.get("Authorization", ""))
        if scope is None:
            return self._web_identity(body)
        self._who, self._service = self.server.account.principal(scope[1]), scope[2]
        if self._service == "sts":
            return self._take_role(body, scope[1])
        asks = list(self._s3(body) if self._service == "s3" else self._json_service(body))
        for ask in asks:
            self._check(ask)
        answer = self._forward(body)
        if self._service == "s3" and answer[0] == 404 and asks[0].action == "s3:GetObject":
            self._check(self._ask("s3:ListBucket", asks[0].resource.partition("/")[0]))  # else S3 does not tell
        return answer

    def _ask(self, action: str, resource: str, **context: str | None) -> Ask:
        known = {"aws:SecureTransport": str(self.server.secure).lower()}
        return Ask(self._who, action, resource, known | {k: v for k, v in context.items() if v is not None})

    def _check(self, ask: Ask) -> None:
        self.server.asked.append(ask)
        if not self.server.account.allows(ask):
            self.server.refused.append(ask)
            raise _RefusedError

    # ------------------------------------------------------------------------------------------ S3

    def _s3(self, body: bytes) -> Iterator[Ask]:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        arn = f"arn:aws:s3:::{bucket}"
        if not key:
            yield from self._bucket(arn, query, body)
            return
        sse = {f"s3:{name}": self.headers.get(name) for name in _ENCRYPTION}
        version = "Version" if "versionId" in query else ""
        match self.command:
            case "GET" if "uploadId" in query:
                actions = ["s3:ListMultipartUploadParts"]
            case "GET" | "HEAD":
                actions = [f"s3:GetObject{version}", "kms:Decrypt"]
            case "PUT" | "POST" if "x-amz-copy-source" not in self.headers:
                actions = ["s3:PutObject", "kms:Decrypt" if "uploadId" in query else "kms:GenerateDataKey"]
            case "DELETE":
                actions = ["s3:AbortMultipartUpload" if "uploadId" in query else f"s3:DeleteObject{version}"]
            case _:
                raise NotImplementedError(f"{self.command} of an object")
        yield self._ask(actions[0], f"{arn}/{key}", **sse)
        for action in actions[1:]:
            yield self._ask(
                action,
                self.server.account.bucket_key(bucket),
                **{
                    "kms:ViaService": f"s3.{self.server.account.region}.amazonaws.com",
                    "kms:EncryptionContext:aws:s3:arn": arn,
                },
            )

    def _bucket(self, arn: str, query: dict[str, str], body: bytes) -> Iterator[Ask]:
        if self.command == "POST" and "delete" in query:
            for item in Xml.fromstring(body).iterfind("{*}Object"):
                version = "Version" if item.find("{*}VersionId") is not None else ""
                yield self._ask(f"s3:DeleteObject{version}", f"{arn}/{item.findtext('{*}Key')}")
            return
        if self.command not in {"GET", "HEAD"}:
            raise NotImplementedError(f"{self.command} of a bucket")
        actions = {
            "uploads": "s3:ListBucketMultipartUploads",
            "versions": "s3:ListBucketVersions",
            "versioning": "s3:GetBucketVersioning",
            "list-type": "s3:ListBucket",
        }
        action = next((action for name, action in actions.items() if name in query), None)
        if action is None:
            raise NotImplementedError(f"{self.command} of a bucket with {sorted(query)}")
        yield self._ask(action, arn, **{"s3:prefix": query.get("prefix", "")})

    # ------------------------------------------------------------------------------------------ other services

    def _json_service(self, body: bytes) -> Iterator[Ask]:
        account, name = self.server.account, self.headers["X-Amz-Target"].rpartition(".")[2]
        said = json.loads(body)
        match self._service:
            case "sqs":
                number, queue = said["QueueUrl"].split("/")[-2:]
                yield self._ask(f"sqs:{name.removesuffix('Batch')}", f"arn:aws:sqs:{account.region}:{number}:{queue}")
            case "secretsmanager":
                arn, key = account.secret(said["SecretId"])
                yield self._ask(f"secretsmanager:{name}", arn)
                via = f"secretsmanager.{account.region}.amazonaws.com"
                yield self._ask("kms:Decrypt", key, **{"kms:ViaService": via})
            case _:
                raise NotImplementedError(f"{self._service}: {name}")

    # ------------------------------------------------------------------------------------------ roles

    def _web_identity(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        said = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if said.get("Action") != "AssumeRoleWithWebIdentity":
            raise _RefusedError
        claims = json.loads(base64.urlsafe_b64decode(said["WebIdentityToken"].split(".")[1] + "=="))
        issuer = claims["iss"].removeprefix("https://")
        number = said["RoleArn"].split(":")[4]
        context = {f"{issuer}:{name}": claims[name] for name in ("aud", "sub")}
        provider = f"arn:aws:iam::{number}:oidc-provider/{issuer}"
        return self._assume(Ask(provider, "sts:AssumeRoleWithWebIdentity", said["RoleArn"], context), body)

    def _take_role(self, body: bytes, access_key: str) -> tuple[int, list[tuple[str, str]], bytes]:
        said = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if said["Action"] != "AssumeRole":
            raise NotImplementedError(said["Action"])
        context = {"sts:ExternalId": said["ExternalId"]} if "ExternalId" in said else {}
        who = self.server.account.principal(access_key)
        return self._assume(Ask(who, "sts:AssumeRole", said["RoleArn"], context), body)

    def _assume(self, ask: Ask, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        self._service = "sts"
        self.server.asked.append(ask)
        if not self.server.account.allows_role(ask):
            self.server.refused.append(ask)
            raise _RefusedError
        answer = self._forward(body)
        taken = re.search(rb"<AccessKeyId>(\w+)</AccessKeyId>", answer[2])
        if taken:
            self.server.account.took_role(taken[1].decode(), ask.resource)
        return answer

    # ------------------------------------------------------------------------------------------ HTTP

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        behind = http.client.HTTPConnection(*self.server.account.address, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            behind.request(self.command, self.path, body=body or None, headers=headers)
            answer = behind.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            behind.close()

    def _denial(self) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._service in {"s3", "sts", ""}:
            error = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            text = error if self._service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
            return 403, [("Content-Type", "application/xml")], text.encode()
        denied: dict[str, Any] = {"__type": "AccessDeniedException", "message": "denied"}
        return 400, [("Content-Type", _JSON)], json.dumps(denied).encode()


def _length(headers: list[tuple[str, str]], answer: bytes, command: str) -> int:
    if command == "HEAD":
        return int({name.lower(): value for name, value in headers}.get("content-length", 0))
    return len(answer)
