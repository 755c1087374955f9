"""Views of `bi` about the pipeline itself: what arrived on which day, what waits, what was set apart, how long it took.

Belongs here: their definitions, made by every migration that finds them otherwise. Does not belong here: reports about
the records (the package's other modules), the senders' calendars (feeds), rights (roles.py). They hold counts, names of
feeds, verdicts and rule ids; no value of a record, no file name.
"""

from __future__ import annotations

import hashlib

import psycopg
from psycopg import sql

DAY_STATES = (
    "failed", "refused", "held", "open", "waiting", "undone", "loaded", "empty", "skipped", "superseded",
)  # fmt: skip
"""What a delivery day has come to, worst first: a day is as its worst dump. `held` waits for a person, `open` for a
run, `waiting` for its upload to end. A refused or failed dump whose name came again and was loaded is superseded."""

# A rejected dump keeps the verdict `held` in the ledger; that a person has decided is in ops.decision.
_STATE = """
case when d.status in ('refused', 'failed') and exists (
         select from ops.dump n where n.bucket = d.bucket and n.key = d.key and n.dump_id > d.dump_id and n.in_effect)
     then 'superseded'
     when d.status = 'refused' and d.verdict = 'held' and not exists (
         select from ops.decision c where c.dump_id = d.dump_id and c.what = 'reject')
     then 'held'
     when d.status in ('arrived', 'archived', 'validated') then case when d.ready then 'open' else 'waiting' end
     when d.status = 'skipped' and d.verdict = 'empty' then 'empty'
     else d.status end
"""

_FEED = "d.sender || '/' || coalesce(d.dataset, '?')"
_ROWS = ("read", "inserted", "updated", "unchanged", "stale", "duplicate", "filtered", "quarantined", "deleted")
_WORST_FIRST = ", ".join(f"'{state}'" for state in DAY_STATES)

_FEED_DAYS = f"""
select d.sender, {_FEED} as feed, d.delivery_day, count(*) as dumps,
       (array[{_WORST_FIRST}])[min(array_position(array[{_WORST_FIRST}], {_STATE}))] as state,
       coalesce(string_agg(distinct d.verdict, ', ' order by d.verdict), '') as verdicts,
       {", ".join(f"coalesce(sum(l.rows_{name}), 0)::bigint as rows_{name}" for name in _ROWS)}
from ops.dump d
left join lateral (
    select {", ".join(f"rows_{name}" for name in _ROWS)} from ops.load
    where dump_id = d.dump_id and kind <> 'cascade' order by load_id desc limit 1) l on d.status = 'loaded'
group by d.sender, d.dataset, d.delivery_day
"""  # noqa: S608 - constants of this module

_FEED_STATUS = f"""
select s.sender, s.feed, s.first_day, s.last_day, s.last_loaded_day, s.last_loaded_at, s.dumps, s.loaded, s.open,
       s.waiting, s.held, s.refused, s.failed, coalesce(q.rows, 0) as quarantined
from (
    select t.sender, t.feed, min(t.delivery_day) as first_day, max(t.delivery_day) as last_day,
           max(t.delivery_day) filter (where t.state in ('loaded', 'empty')) as last_loaded_day,
           max(t.settled_at) filter (where t.state = 'loaded') as last_loaded_at, count(*) as dumps,
           {
    ", ".join(
        f"count(*) filter (where t.state = '{name}') as {name}"
        for name in ("loaded", "open", "waiting", "held", "refused", "failed")
    )
}
    from (select d.sender, {_FEED} as feed, d.delivery_day, d.settled_at, {_STATE} as state from ops.dump d) t
    group by t.sender, t.feed) s
left join (
    select q.feed, count(*) as rows from ops.quarantine q join ops.dump d using (dump_id)
    where q.resolved_at is null and d.in_effect group by q.feed) q on q.feed = s.feed
"""  # noqa: S608 - constants of this module

_QUARANTINE_BY_RULE = """
select split_part(q.feed, '/', 1) as sender, q.feed, rule, count(*) as rows, count(distinct q.dump_id) as dumps,
       max(q.quarantined_at) as latest
from ops.quarantine q join ops.dump d using (dump_id), unnest(q.rules) as rule
where q.resolved_at is null and d.in_effect
group by q.feed, rule
"""

_LOAD_TIMES = """
select t.*, t.seconds_archive + t.seconds_validation + t.seconds_load as seconds,
       round((t.rows / nullif(t.seconds_archive + t.seconds_validation + t.seconds_load, 0))::numeric)
           ::bigint as rows_per_second
from (
    select d.sender, l.feed, d.delivery_day, l.finished_at, l.kind, l.rows_read as rows, d.size_bytes as bytes,
           coalesce((d.checks #>> '{intact,figures,seconds}')::double precision, 0) as seconds_archive,
           coalesce((d.validation ->> 'elapsed')::double precision, 0)              as seconds_validation,
           coalesce((l.seconds ->> 'load')::double precision, 0)                    as seconds_load
    from ops.load l join ops.dump d using (dump_id)
    where l.kind in ('load', 'reload')) t
"""

OPERATIONS = {
    "feed_days": (_FEED_DAYS, "A row per feed and delivery day: dumps, the worst state among them, rows by verdict"),
    "feed_status": (_FEED_STATUS, "A row per feed: last day loaded, and dumps that are open, held, refused or failed"),
    "quarantine_by_rule": (
        _QUARANTINE_BY_RULE,
        "Open rows in quarantine by feed and rule; a row that broke two rules is in two lines",
    ),
    "load_times": (_LOAD_TIMES, "A row per load of a dump: rows, bytes, seconds by stage, rows per second"),
}
"""Views by name: query and comment."""


def ensure_operations(connection: psycopg.Connection) -> list[str]:
    """Make the views as they are defined here; those that are so already are left alone.

    Returns:
        What was changed, a line each.
    """
    connection.execute("create schema if not exists bi")
    changes = []
    for name, (query, meaning) in OPERATIONS.items():
        # The comment tells the definition's version: Postgres keeps no text of a view to compare with.
        comment = f"{meaning}. ({hashlib.sha256(query.encode()).hexdigest()[:12]})"
        found = connection.execute("select obj_description(to_regclass(%s), 'pg_class')", [f"bi.{name}"]).fetchone()
        if found == (comment,):
            continue
        view = sql.Identifier("bi", name)
        connection.execute(sql.SQL("drop view if exists {}").format(view))
        connection.execute(sql.SQL("create view {} with (security_barrier) as ").format(view) + sql.SQL(query))
        connection.execute(sql.SQL("comment on view {} is {}").format(view, sql.Literal(comment)))
        changes.append(f"made bi.{name}")
    return changes
