-- History by delivery: which dumps are in effect, and undo, replay and rebuild as kinds of work in the audit.

alter table ops.dump drop constraint dump_status_check;
alter table ops.dump add constraint dump_status_check check (status in
    ('arrived', 'archived', 'validated', 'loaded', 'skipped', 'refused', 'failed', 'superseded', 'undone'));

alter table ops.dump
    add column in_effect     boolean not null default false,
    add column loaded_key    text,
    add column superseded_by bigint references ops.dump;
comment on column ops.dump.in_effect is 'Whether its rows are part of what table and history are made from';
comment on column ops.dump.loaded_key is 'Validated frames whose rows are in effect; validated_key may be newer';
comment on column ops.dump.superseded_by is 'The dump of the same name, or the earlier one of the same bytes, that took its place';
update ops.dump d set in_effect = true, loaded_key = validated_key
 where exists (select 1 from ops.load l where l.dump_id = d.dump_id and l.kind in ('load', 'reload'));
create index dump_in_effect on ops.dump (sender, dataset, stamp, dump_id) where in_effect;

alter table ops.load drop constraint load_kind_check;
alter table ops.load add constraint load_kind_check check (kind in ('load', 'reload', 'cascade', 'replay', 'undo'));
alter table ops.load
    add column rows_removed  bigint not null default 0,
    add column rows_restored bigint not null default 0,
    add column reason        text   not null default '';
comment on column ops.load.kind is
    'load: the first of its dump; reload: again; cascade: rows of a set removed with their parent; '
    'replay: a dump folded in again after an earlier one changed; undo: a dump taken out';
comment on column ops.load.rows_removed is 'undo: rows of the dump that left the table';
comment on column ops.load.rows_restored is 'undo: earlier versions that are in the table again';
comment on column ops.load.reason is 'Who asked and why, where a person did; holds no value of a record';
