-- Expectations: what was due when, what came of it, and what people were told of it, so that each is told once.

create table ops.expectation (
    feed         text        not null,
    delivery_day date        not null,
    state        text        not null check (state in ('due', 'late', 'missing', 'arrived', 'early', 'double')),
    due_at       timestamptz not null,
    dumps_due    int         not null check (dumps_due > 0),
    dumps        int         not null check (dumps >= 0),
    completed_at timestamptz,
    told         text[]      not null default '{}',
    told_at      timestamptz,
    recovered_at timestamptz,
    primary key (feed, delivery_day)
);
comment on table ops.expectation is 'A row per feed and delivery day that its calendar expects, from when it was watched';
comment on column ops.expectation.due_at is 'By when its dumps were due';
comment on column ops.expectation.dumps is 'Names under which dumps of the day came; dumps_due are expected';
comment on column ops.expectation.completed_at is 'When the last of the dumps that are due was uploaded; NULL before';
comment on column ops.expectation.told is 'What people were told of it: missing, late, recovered, early, double';
comment on column ops.expectation.told_at is 'When the first of it was told';
comment on column ops.expectation.recovered_at is 'When it was told that dumps came that had been told as missing';
create index expectation_of_day on ops.expectation (delivery_day);
