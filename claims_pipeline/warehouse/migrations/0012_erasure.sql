-- Erasure: whose rows were taken out for good, by whom and why, and the register by which they stay out.

create table ops.erasure (
    erasure_id   bigint generated always as identity primary key,
    kind         text        not null check (kind in ('erase', 'again')),
    sender       text        not null,
    persons      text[]      not null,
    rows         jsonb       not null,
    objects      jsonb       not null,
    not_searched bigint      not null,
    unread       bigint      not null,
    note         text        not null,
    requested_by text        not null check (requested_by <> ''),
    reason       text        not null check (reason <> ''),
    run_id       text        not null,
    actor        text        not null default session_user,
    erased_at    timestamptz not null default clock_timestamp()
);
comment on table ops.erasure is 'Every erasure of a person''s rows: who, when, why, how many rows, which raw objects hold them still. Append-only';
comment on column ops.erasure.kind is
    'erase: asked for by a person; again: the register applied to rows that had come in by another way (a restored backup)';
comment on column ops.erasure.persons is
    'SHA-256 (hex) of the tokens: whoever can make a person''s token can find the erasure, nobody else can';
comment on column ops.erasure.rows is 'Rows taken out by table; quarantine, frames and rejects beside the tables';
comment on column ops.erasure.objects is 'Raw objects that hold the person still: bucket, key, delivery day, row numbers';
comment on column ops.erasure.not_searched is 'Raw objects of which nobody knows: their frames are gone, and the raw bytes were not read';
comment on column ops.erasure.unread is 'Quarantined rows that do not say whose they are; they stay';
comment on column ops.erasure.note is 'Key of the note in the archive bucket, for when there is no database to ask';
create index erasure_of_sender on ops.erasure (sender, erasure_id desc);
create trigger erasure_append_only before update or delete or truncate on ops.erasure
    for each statement execute function ops.append_only();

create table ops.withheld (
    withheld_id  bigint generated always as identity primary key,
    erasure_id   bigint references ops.erasure,
    sender       text        not null,
    dataset      text        not null,
    values       text[]      not null,
    person       text        not null default '',
    unique (sender, dataset, values)
);
comment on table ops.withheld is 'The register of erased persons: what validation leaves out, by values as stored';
comment on column ops.withheld.erasure_id is 'NULL: found by a later validation or in the archive''s notes';
comment on column ops.withheld.dataset is 'Dataset of which the values are a row''s key; empty for a token of the person';
comment on column ops.withheld.person is 'Tokens only: the token under which the person was registered first; equal for one identifier under several keys';

create table ops.erasing (
    key        text primary key,
    erasure_id bigint not null references ops.erasure
);
comment on table ops.erasing is 'Folders of the archive bucket with validated frames from before an erasure, until they are deleted';

create table ops.token_request (
    request_id   bigint generated always as identity primary key,
    sender       text        not null,
    family       text        not null,
    requested_by text        not null check (requested_by <> ''),
    reason       text        not null check (reason <> ''),
    actor        text        not null default session_user,
    requested_at timestamptz not null default clock_timestamp()
);
comment on table ops.token_request is 'Who had an identifier turned into its tokens, and why; without the identifier. Append-only';
create trigger token_request_append_only before update or delete or truncate on ops.token_request
    for each statement execute function ops.append_only();

do $$
begin
    if exists (select 1 from pg_proc where pronamespace = 'ops'::regnamespace and proname = 'chain_audit') then
        perform ops.chain_audit('ops.erasure');
        perform ops.chain_audit('ops.token_request');
    end if;
end $$;
