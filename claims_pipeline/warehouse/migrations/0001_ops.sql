-- Schema ops: the memory of the pipeline. Tables of feeds are not made here: they follow from the contracts (ddl.py).

create schema ops;
create schema history;

comment on schema ops is 'What became of every dump and row: ledger, audit, quarantine, contracts';
comment on schema history is 'Row versions that a later dump replaced or removed';

create table ops.contract (
    fingerprint  text primary key,
    feed         text        not null,
    description  jsonb       not null,
    recorded_at  timestamptz not null default now()
);
comment on table ops.contract is 'Every version of every contract that was ever in force';

create table ops.dump (
    dump_id        bigint generated always as identity primary key,
    sender         text        not null,
    dataset        text,
    bucket         text        not null,
    key            text        not null,
    etag           text        not null,
    size_bytes     bigint      not null,
    last_modified  timestamptz not null,
    version_id     text,
    delivery_day   date        not null,
    stamp          timestamptz not null,
    status         text        not null default 'arrived'
        check (status in ('arrived', 'archived', 'validated', 'loaded', 'skipped', 'refused', 'failed')),
    verdict        text
        check (verdict in ('new', 'resent', 'superseding', 'duplicate', 'empty', 'unreadable', 'unknown', 'held')),
    reason         text        not null default '',
    sha256         text        check (sha256 ~ '^[0-9a-f]{64}$'),
    same_as        bigint references ops.dump,
    archive_key    text,
    validated_key  text,
    contract       text references ops.contract,
    validation     jsonb,
    checks         jsonb       not null default '{}',
    approved_by    text,
    attempts       int         not null default 0,
    request_id     text,
    requested_at   timestamptz,
    run_id         text,
    arrived_at     timestamptz not null default now(),
    settled_at     timestamptz,
    unique (bucket, key, etag, size_bytes, last_modified)
);
comment on table ops.dump is 'The ledger: every dump ever seen and what became of it';
comment on column ops.dump.stamp is 'Time stamp embedded in the name, else of the arrival';
comment on column ops.dump.same_as is 'The earlier dump that a resent, duplicate or superseding one repeats or replaces';
comment on column ops.dump.checks is 'Every check that was made on the dump, with its figures';
comment on column ops.dump.validation is 'Counts by rule, column drift and seconds of the validation; no value of a record';
create index dump_of_day on ops.dump (sender, dataset, delivery_day);
create index dump_of_bytes on ops.dump (sha256);
create index dump_of_key on ops.dump (bucket, key);
create index dump_open on ops.dump (sender) where status in ('arrived', 'archived', 'validated');

create table ops.load (
    load_id       bigint generated always as identity primary key,
    kind          text        not null check (kind in ('load', 'reload', 'cascade')),
    dump_id       bigint      not null references ops.dump,
    feed          text        not null,
    run_id        text        not null,
    contract      text        not null references ops.contract,
    rows_read         bigint  not null default 0,
    rows_inserted     bigint  not null default 0,
    rows_updated      bigint  not null default 0,
    rows_unchanged    bigint  not null default 0,
    rows_stale        bigint  not null default 0,
    rows_duplicate    bigint  not null default 0,
    rows_filtered     bigint  not null default 0,
    rows_quarantined  bigint  not null default 0,
    rows_deleted      bigint  not null default 0,
    seconds       jsonb       not null default '{}',
    actor         text        not null default session_user,
    started_at    timestamptz not null,
    finished_at   timestamptz not null default clock_timestamp(),
    constraint rows_conserved check (
        rows_read = rows_inserted + rows_updated + rows_unchanged + rows_stale
                  + rows_duplicate + rows_filtered + rows_quarantined
    )
);
comment on table ops.load is 'The audit: what every load did, appended in the transaction of the load';
comment on column ops.load.kind is
    'load: the first of its dump; reload: again; cascade: rows of a set removed with their parent';
create index load_of_dump on ops.load (dump_id);
create index load_of_feed on ops.load (feed, finished_at desc);
create index load_of_run on ops.load (run_id);

create function ops.append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is append-only';
end $$;
create trigger load_append_only before update or delete or truncate on ops.load
    for each statement execute function ops.append_only();

create table ops.quarantine (
    quarantine_id  bigint generated always as identity primary key,
    dump_id        bigint      not null references ops.dump,
    feed           text        not null,
    row_number     bigint      not null,
    columns        text[]      not null,
    rules          text[]      not null,
    contract       text        not null references ops.contract,
    load_id        bigint      not null,
    key_version    text        not null,
    sealed         bytea       not null,
    quarantined_at timestamptz not null default now(),
    resolved_at    timestamptz,
    unique (dump_id, row_number)
);
comment on table ops.quarantine is 'Rows that broke a rule, sealed (AES-256-GCM), with the rule and their place in the dump';
create index quarantine_open on ops.quarantine (feed) where resolved_at is null;

create table ops.message (
    run_id    text primary key,
    channel   text        not null,
    ts        text        not null,
    sent_at   timestamptz not null default now()
);
comment on table ops.message is 'The one Slack message of a run, so that it is updated and not repeated';

create view ops.feed_status as
select d.sender || '/' || coalesce(d.dataset, '?') as feed,
       max(d.delivery_day) filter (where d.status = 'loaded')                        as last_loaded_day,
       max(d.settled_at) filter (where d.status = 'loaded')                          as last_loaded_at,
       count(*) filter (where d.status = 'loaded')                                   as dumps_loaded,
       count(*) filter (where d.status in ('arrived', 'archived', 'validated'))      as dumps_open,
       count(*) filter (where d.status in ('refused', 'failed'))                     as dumps_refused,
       count(*) filter (where d.status = 'skipped')                                  as dumps_skipped
from ops.dump d
group by 1;

create view ops.quarantine_summary as
select q.feed, rule, count(*) as rows, count(distinct q.dump_id) as dumps, max(q.quarantined_at) as latest
from ops.quarantine q, unnest(q.rules) as rule
where q.resolved_at is null
group by 1, 2;
