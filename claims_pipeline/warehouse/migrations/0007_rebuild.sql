-- Rebuilds from the raw archive: what was made into this database, and the drills that were made beside it.

create table ops.rebuild (
    rebuild_id   bigint generated always as identity primary key,
    kind         text        not null check (kind in ('begun', 'finished', 'drill')),
    feeds        text[]      not null,
    archive      text        not null,
    frames       text        not null default '',
    dumps        bigint      not null default 0,
    rows         bigint      not null default 0,
    passed       boolean,
    differences  jsonb       not null default '[]',
    seconds      double precision,
    run_id       text        not null,
    actor        text        not null default session_user,
    noted_at     timestamptz not null default clock_timestamp()
);
comment on table ops.rebuild is 'begun, finished: this database was made from the archive; drill: another was, and compared';
comment on column ops.rebuild.frames is 'begun: folder of the archive with the frames of this rebuild, removed when it ends';
comment on column ops.rebuild.differences is 'Tables that differ, with counts of rows; no value of a record';

create trigger rebuild_append_only before update or delete or truncate on ops.rebuild
    for each statement execute function ops.append_only();
