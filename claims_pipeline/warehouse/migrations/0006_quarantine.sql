-- Quarantine with replay: the line of a row, who looked at rows and why, and what persons decided about dumps.

alter table ops.quarantine add column line bigint;
comment on column ops.quarantine.row_number is 'Place among the data rows of the dump, from 1; header and blank lines not counted';
comment on column ops.quarantine.line is
    'Line of the file on which the row begins, from 1; NULL where the format has no lines, or the load set the row apart';

create or replace view ops.quarantine_summary as
select q.feed, rule, count(*) as rows, count(distinct q.dump_id) as dumps, max(q.quarantined_at) as latest
from ops.quarantine q join ops.dump d using (dump_id), unnest(q.rules) as rule
where q.resolved_at is null and d.in_effect
group by 1, 2;
comment on view ops.quarantine_summary is
    'Open rows by feed and rule; those of dumps that are undone or superseded are not missing from any table';

create table ops.quarantine_look (
    look_id     bigint generated always as identity primary key,
    dump_id     bigint      not null references ops.dump,
    row_numbers bigint[]    not null,
    looked_by   text        not null check (looked_by <> ''),
    reason      text        not null check (reason <> ''),
    actor       text        not null default session_user,
    looked_at   timestamptz not null default clock_timestamp()
);
comment on table ops.quarantine_look is 'Who opened which sealed rows, when and why; written before they are shown. Append-only';
create trigger quarantine_look_append_only before update or delete or truncate on ops.quarantine_look
    for each statement execute function ops.append_only();

create table ops.decision (
    decision_id bigint generated always as identity primary key,
    dump_id     bigint      not null references ops.dump,
    what        text        not null check (what in ('approve', 'reject', 'undo', 'redo')),
    decided_by  text        not null check (decided_by <> ''),
    reason      text        not null,
    actor       text        not null default session_user,
    decided_at  timestamptz not null
);
comment on table ops.decision is 'What persons decided about dumps, and why; also noted beside the raw dump. Append-only';
create index decision_of_dump on ops.decision (dump_id);
create trigger decision_append_only before update or delete or truncate on ops.decision
    for each statement execute function ops.append_only();
