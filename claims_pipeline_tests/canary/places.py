"""Every place that can be read after a round, as names and bytes.

Belongs here: where something could have been left, decoded so that a search of bytes sees it. Does not belong here: the
search (`needles`), and which canaries a place may hold: that is `MAY_HOLD_KEPT` here, since it belongs to the place.
"""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow
import pyarrow.parquet
from psycopg import sql

from claims_pipeline.feeds import all_senders
from claims_pipeline.local import postgres_program
from claims_pipeline.telemetry import traces
from claims_pipeline.warehouse.pgdump import environment
from claims_pipeline_tests.canary.scene import Scene

Contents = Iterator[tuple[str, bytes]]

RAW, FRAMES, ERASURES, NOTES = "raw/", "validated/", "erasures/", ".json"
REGISTER = ("ops", "withheld")


def _logs(scene: Scene) -> Contents:
    yield "all loggers", scene.memory.text.getvalue().encode(errors="surrogatepass")


def _output(scene: Scene) -> Contents:
    yield from ((what, text.encode(errors="surrogatepass")) for what, text in scene.said)


def _instance(scene: Scene) -> Contents:
    """Dagster's files as bytes, and the rows of its SQLite files: a long value is split among a file's pages."""
    for path in _files(scene.folder / "instance"):
        yield str(path), path.read_bytes()
        if path.suffix == ".db":
            yield from ((f"{path}: {table}", rows) for table, rows in sqlite_rows(path))


def _event_log(scene: Scene) -> Contents:
    """Events as Dagster gives them: messages, metadata, results of checks, errors with their causes."""
    for run in scene.instance.get_runs():
        events = scene.instance.all_logs(run.run_id)
        yield f"run {run.run_id}", "\n".join([repr(run), *map(repr, events)]).encode(errors="surrogatepass")


def _compute_logs(scene: Scene) -> Contents:
    for path in _files(scene.folder / "instance"):
        if path.suffix in (".out", ".err"):
            yield str(path), path.read_bytes()


def _slack(scene: Scene) -> Contents:
    yield "messages", "\n".join(f"{call.method} {call.payload!r}" for call in scene.slack.calls).encode()


def _datadog(scene: Scene) -> Contents:
    yield "packets", "\n".join(scene.statsd.lines()).encode()


def _spans(scene: Scene) -> Contents:
    traces.stop()  # sends what waits
    yield "OTLP", "\n".join(map(str, scene.collector.spans())).encode()


def _lineage(scene: Scene) -> Contents:
    yield "OpenLineage", "\n".join(map(str, scene.collector.events())).encode()


def _ops(scene: Scene) -> Contents:
    yield from _relations(scene, lambda schema, name: schema not in _row_schemas() and (schema, name) != REGISTER)


def _tables(scene: Scene) -> Contents:
    yield from _relations(scene, lambda schema, _: schema in _row_schemas())


def _register(scene: Scene) -> Contents:
    """Who was erased: tokens, and keys of rows as stored, by which they are kept out (docs/erasure.md)."""
    yield from _relations(scene, lambda *of: of == REGISTER)
    yield from ((key, body) for key, body in _objects(scene) if key.startswith(ERASURES))


def _statistics(scene: Scene) -> Contents:
    """The planner's statistics, which quote values, and comments."""
    with scene.database() as connection:
        connection.execute("analyze")
        for view in ("pg_stats", "pg_stats_ext", "pg_description"):
            yield view, _text(connection, sql.SQL("select t::text from {} t").format(sql.Identifier(view)))


def _activity(scene: Scene) -> Contents:
    yield from _of(scene, "activity")
    with scene.database() as connection:
        yield "pg_stat_activity", activity(connection)


def _server_log(scene: Scene) -> Contents:
    yield str(scene.server_log), scene.server_log.read_bytes()


def _dump_of_ops(scene: Scene) -> Contents:
    others = (f"--exclude-schema={schema}" for schema in sorted(_row_schemas()))
    yield "pg_dump", _pg_dump(scene, f"--exclude-table={'.'.join(REGISTER)}", *others)


def _whole_dump(scene: Scene) -> Contents:
    yield "pg_dump", _pg_dump(scene)


def _frames(scene: Scene) -> Contents:
    """Validated rows: the object, its columns decoded, and what its footer says of them."""
    for key, body in _objects(scene):
        if key.endswith("rows.parquet"):
            yield key, body
            yield from ((f"{key}: {name}", text) for name, text in decoded(body))


def _rejects(scene: Scene) -> Contents:
    for key, body in _objects(scene):
        if key.endswith("rejects.parquet"):
            yield key, body
            yield from ((f"{key}: {name}", text) for name, text in decoded(body))


def _notes(scene: Scene) -> Contents:
    """What else lies in the archive: everything but raw bytes, frames, and backups of the tables."""
    for key, body in _objects(scene):
        if not key.startswith((FRAMES, "backups/", ERASURES)) and (key.endswith(NOTES) or not key.startswith(RAW)):
            yield key, body


def _object_names(scene: Scene) -> Contents:
    """Keys and metadata of all objects of the archive."""
    for key, _ in _objects(scene):
        answer = scene.s3.head_object(Bucket=scene.archive, Key=key)
        yield key, f"{key} {answer!r}".encode()


def _temporary(scene: Scene) -> Contents:
    yield "names", "\n".join(map(str, [scene.temporary, *_files(scene.temporary)])).encode()
    yield from ((str(path), path.read_bytes()) for path in _files(scene.temporary))
    yield from _of(scene, "temporary")


def _state(scene: Scene) -> Contents:
    yield "names", "\n".join(map(str, _files(scene.folder / "state"))).encode()
    yield from ((str(path), path.read_bytes()) for path in _files(scene.folder / "state"))


def _processes(scene: Scene) -> Contents:
    yield from _of(scene, "process")
    yield from process(os.getpid())


PLACES: Mapping[str, Callable[[Scene], Contents]] = {
    "log records": _logs,
    "output of commands and runs": _output,
    "files of the Dagster instance": _instance,
    "Dagster's events": _event_log,
    "compute logs": _compute_logs,
    "Slack messages": _slack,
    "Datadog packets": _datadog,
    "spans": _spans,
    "lineage events": _lineage,
    "ops and bi schemas": _ops,
    "tables": _tables,
    "the register of erased persons": _register,
    "statistics of the planner": _statistics,
    "running statements": _activity,
    "the server's log": _server_log,
    "a dump of the ops schema": _dump_of_ops,
    "a dump of the database": _whole_dump,
    "validated frames": _frames,
    "rejects": _rejects,
    "notes in the archive": _notes,
    "names and metadata of objects": _object_names,
    "temporary files": _temporary,
    "the state folder": _state,
    "processes": _processes,
}
MAY_HOLD_KEPT = {
    "tables", "the register of erased persons", "statistics of the planner", "a dump of the database",
    "validated frames",
}  # fmt: skip
"""Where columns that the contract keeps are meant to be; their planner's statistics are shown to whom the table is."""


def activity(connection: psycopg.Connection) -> bytes:
    """What every session of the database runs or ran last."""
    return _text(connection, sql.SQL("select t::text from pg_stat_activity t where datname = current_database()"))


def process(pid: int) -> Contents:
    """What others can read of a process: its arguments, and its owner its environment and open files."""
    folder = Path("/proc") / str(pid)
    if not folder.exists():  # no Linux: what `ps` shows
        yield "ps", subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, check=True).stdout
        return
    for name in ("cmdline", "environ"):
        yield f"{name} of a process", (folder / name).read_bytes()


def open_files(pid: int) -> Contents:
    """What an open file without a name holds: temporary files that no listing shows."""
    for link in (Path("/proc") / str(pid) / "fd").glob("*"):
        if "(deleted)" in str(link.readlink()):
            yield "file without a name", link.read_bytes()


def decoded(body: bytes) -> Contents:
    """A Parquet file's columns as text, and its footer."""
    file = pyarrow.parquet.ParquetFile(io.BytesIO(body))
    yield "footer", f"{file.metadata!r} {file.schema_arrow!r} {file.metadata.to_dict()!r}".encode()
    table: pyarrow.Table = file.read()
    for name in table.column_names:
        yield name, "\n".join(map(str, table[name].to_pylist())).encode()


def sqlite_rows(path: Path) -> Contents:
    """The rows of every table of an SQLite file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        names = [name.decode() for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            rows = connection.execute(f'select * from "{name}"').fetchall()
            yield (
                name,
                b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row),
            )


def _of(scene: Scene, kind: str) -> Contents:
    yield from ((name, content) for of, name, content in scene.seen if of == kind)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _row_schemas() -> set[str]:
    """Schemas that hold rows, for those who may see them: of senders, their history, and views of both."""
    senders = {sender.name for sender in all_senders()}
    return senders | {s.reporting_schema for s in all_senders() if s.reporting_schema} | {"history", "analyst"}


def _relations(scene: Scene, wanted: Callable[[str, str], bool]) -> Contents:
    """Every table and view of the wanted schemas, as text."""
    with scene.database() as connection:
        found = connection.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'v', 'm', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
            " order by 1, 2"
        ).fetchall()
        for schema, name in found:
            if wanted(schema, name):
                rows = _text(connection, sql.SQL("select t::text from {} t").format(sql.Identifier(schema, name)))
                yield f"{schema}.{name}", rows


def _text(connection: psycopg.Connection, query: sql.Composed | sql.SQL) -> bytes:
    return "\n".join(str(text) for (text,) in connection.execute(query)).encode()


def _pg_dump(scene: Scene, *options: str) -> bytes:
    command = [str(postgres_program("pg_dump")), "--format=plain", *options]
    return subprocess.run(command, env=environment(scene.database_url), capture_output=True, check=True).stdout


def _objects(scene: Scene) -> Contents:
    for page in scene.s3.get_paginator("list_objects_v2").paginate(Bucket=scene.archive):
        for item in page.get("Contents", []):
            yield item["Key"], scene.s3.get_object(Bucket=scene.archive, Key=item["Key"])["Body"].read()
