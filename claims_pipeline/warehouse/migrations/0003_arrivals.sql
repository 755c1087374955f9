-- Arrivals: a dump is read once two looks have seen it the same, and what its sender lays beside it is there.

alter table ops.dump
    add column seen_since timestamptz not null default now(),
    add column ready      boolean     not null default true;
update ops.dump set seen_since = arrived_at;
comment on column ops.dump.seen_since is 'First look that saw the object as it is noted here (size, ETag, last modified)';
comment on column ops.dump.ready is 'Whether it may be read: its upload has ended, and no sidecar is waited for';

-- An upload that grows is one row however often it is looked at, by however many lookers.
create unique index dump_growing on ops.dump (bucket, key) where not ready and archive_key is null;

create or replace view ops.feed_status as
select d.sender || '/' || coalesce(d.dataset, '?') as feed,
       max(d.delivery_day) filter (where d.status = 'loaded')                        as last_loaded_day,
       max(d.settled_at) filter (where d.status = 'loaded')                          as last_loaded_at,
       count(*) filter (where d.status = 'loaded')                                   as dumps_loaded,
       count(*) filter (where d.status in ('arrived', 'archived', 'validated'))      as dumps_open,
       count(*) filter (where d.status in ('refused', 'failed'))                     as dumps_refused,
       count(*) filter (where d.status = 'skipped')                                  as dumps_skipped,
       count(*) filter (where d.status = 'arrived' and not d.ready)                  as dumps_waiting
from ops.dump d
group by 1;
