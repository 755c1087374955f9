-- Backups and restore drills: when each was made, of what, and how it ended.

create table ops.backup (
    entry_id    bigint generated always as identity primary key,
    kind        text        not null check (kind in ('backup', 'drill', 'restore', 'prune')),
    passed      boolean     not null,
    stamp       timestamptz,
    location    text        not null default '',
    tables      int         not null default 0,
    rows        bigint      not null default 0,
    bytes       bigint      not null default 0,
    seconds     double precision not null default 0,
    reason      text        not null default '',
    run_id      text        not null,
    actor       text        not null default session_user,
    ended_at    timestamptz not null default clock_timestamp()
);
comment on table ops.backup is 'Every backup, drill, restore and deletion of old backups, and how it ended. Append-only';
comment on column ops.backup.kind is
    'backup: one was made; drill: one was restored beside and compared; restore: this database was made from one; '
    'prune: old ones were deleted';
comment on column ops.backup.stamp is 'Which backup; NULL where it did not come to one';
comment on column ops.backup.bytes is 'Compressed size of the backup; prune: bytes deleted';
comment on column ops.backup.reason is 'What was wrong, or what was deleted; holds no value of a record';
create index backup_newest on ops.backup (kind, ended_at desc) where passed;

create trigger backup_append_only before update or delete or truncate on ops.backup
    for each statement execute function ops.append_only();
