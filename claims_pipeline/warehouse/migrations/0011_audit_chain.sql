-- The audit as hash chains: an entry that is changed, removed or slipped in later breaks every link behind it.

create table ops.audit_head (
    chain    text   primary key,
    entries  bigint not null,
    hash     bytea  not null
);
comment on table ops.audit_head is 'Where each chain ends: a tail that was cut off is missed';

create table ops.audit_link (
    chain       text        not null,
    number      bigint      not null,
    table_name  text        not null,
    entry_id    bigint      not null,
    columns     text[]      not null,
    hash        bytea       not null,
    linked_at   timestamptz not null default clock_timestamp(),
    primary key (chain, number),
    unique (table_name, entry_id)
);
comment on table ops.audit_link is
    'A link for every entry of the audit, written by a trigger. hash = sha256(hash before || entry as jsonb text in UTC); '
    'the first one follows sha256(chain)';
comment on column ops.audit_link.chain is 'Its table; of ops.load its table and feed, so that loads do not wait for each other';
comment on column ops.audit_link.columns is 'What the hash covers: the columns that the table had then';

-- Arguments: name of the key column, and of the column by which the table has several chains, if it has.
create function ops.chain_entry() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set extra_float_digits = '1' set bytea_output = 'hex' as $$
declare
    entry    jsonb := to_jsonb(new);
    audited  text  := tg_table_schema || '.' || tg_table_name;
    its      text  := concat_ws(' ', audited, entry ->> tg_argv[1]);
    head     ops.audit_head;
begin
    insert into ops.audit_head (chain, entries, hash)
    values (its, 0, sha256(convert_to(its, 'UTF8'))) on conflict do nothing;
    update ops.audit_head h
       set entries = h.entries + 1, hash = sha256(h.hash || convert_to(entry::text, 'UTF8'))
     where h.chain = its returning h.* into head;
    insert into ops.audit_link (chain, number, table_name, entry_id, columns, hash)
    values (its, head.entries, audited, (entry ->> tg_argv[0])::bigint,
            array(select c from jsonb_object_keys(entry) as c order by c collate "C"), head.hash);
    return null;
end $$;

create function ops.chain_audit(audited regclass, per name default null) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set extra_float_digits = '1' set bytea_output = 'hex' as $$
declare
    named  text;
    id     name;
    entry  jsonb;
    its    text;
    head   ops.audit_head;
begin
    select n.nspname || '.' || c.relname, a.attname into strict named, id
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      join pg_index i on i.indrelid = c.oid and i.indisprimary
      join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
     where c.oid = audited;
    -- What the trigger does, but for the head, which is written once for each chain and not for each entry.
    for entry in execute format('select to_jsonb(e) from %s e order by %s%I', audited, quote_ident(per) || ', ', id) loop
        its := concat_ws(' ', named, entry ->> per);
        if head.chain is distinct from its then
            insert into ops.audit_head select (head).* where head.chain is not null;
            head := row(its, 0, sha256(convert_to(its, 'UTF8')));
        end if;
        head.entries := head.entries + 1;
        head.hash := sha256(head.hash || convert_to(entry::text, 'UTF8'));
        insert into ops.audit_link (chain, number, table_name, entry_id, columns, hash)
        values (its, head.entries, named, (entry ->> id)::bigint,
                array(select c from jsonb_object_keys(entry) as c order by c collate "C"), head.hash);
    end loop;
    insert into ops.audit_head select (head).* where head.chain is not null;
    execute format('create trigger audit_chained after insert on %s for each row execute function ops.chain_entry(%s)',
                   audited, concat_ws(', ', quote_literal(id), quote_literal(per)));
end $$;
comment on function ops.chain_audit is 'Make an append-only table part of the chained audit: entries that it has, then each new one';

revoke all on function ops.chain_entry, ops.chain_audit from public;

select ops.chain_audit('ops.load', 'feed');
select ops.chain_audit('ops.backup');
select ops.chain_audit('ops.upkeep');
select ops.chain_audit('ops.quarantine_look');
select ops.chain_audit('ops.decision');
select ops.chain_audit('ops.rebuild');

create trigger audit_link_append_only before update or delete or truncate on ops.audit_link
    for each statement execute function ops.append_only();
create trigger audit_head_append_only before delete or truncate on ops.audit_head
    for each statement execute function ops.append_only();
