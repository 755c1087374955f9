-- Upkeep: what was pruned, when, by whom; and which dumps have lost their bytes to retention.

alter table ops.dump
    add column raw_pruned_at       timestamptz,
    add column validated_pruned_at timestamptz;
comment on column ops.dump.raw_pruned_at is 'When its bytes in the raw archive were deleted by the feed''s retention';
comment on column ops.dump.validated_pruned_at is
    'When its validated frames were deleted by the feed''s retention; they can be made again from the raw bytes';
create index dump_of_archive on ops.dump (archive_key);

create table ops.upkeep (
    upkeep_id    bigint generated always as identity primary key,
    kind         text        not null check (kind <> ''),
    dry_run      boolean     not null,
    items        bigint      not null check (items >= 0),
    bytes        bigint      check (bytes >= 0),
    oldest       timestamptz,
    detail       jsonb       not null default '{}',
    error        text        not null default '',
    run_id       text        not null,
    requested_by text        not null check (requested_by <> ''),
    actor        text        not null default session_user,
    started_at   timestamptz not null,
    finished_at  timestamptz not null default clock_timestamp()
);
comment on table ops.upkeep is 'What every prune deleted, or would have deleted (dry_run), a row for each kind. Append-only';
comment on column ops.upkeep.bytes is 'NULL where the size of what is deleted is not known';
comment on column ops.upkeep.oldest is 'Time stamp of the oldest item';
comment on column ops.upkeep.detail is 'Further counts and names of databases; no value of a record';
comment on column ops.upkeep.error is 'Why it ended early, free of values; items counts what was done until then';
create index upkeep_of_kind on ops.upkeep (kind, finished_at);
create trigger upkeep_append_only before update or delete or truncate on ops.upkeep
    for each statement execute function ops.append_only();
