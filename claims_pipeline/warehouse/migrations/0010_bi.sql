-- Reports for BI: what is published of each, after protection of small groups; the views in schema bi read from here.

create table ops.report (
    report        text primary key,
    sender        text        not null,
    title         text        not null,
    population    text        not null,
    counted       text        not null,
    grain         text        not null check (grain in ('day', 'month')),
    groups        text[]      not null,
    sums          text[]      not null,
    smallest_cell int         not null check (smallest_cell > 0),
    rounding      int         not null check (rounding > 0),
    definition    text        not null,
    as_of         date,
    refreshed_at  timestamptz,
    state         bigint      not null default 0,
    parts         bigint      not null default 0,
    seconds       double precision not null default 0
);
comment on table ops.report is 'Reports that contracts declare, and when each was last made';
comment on column ops.report.population is 'What is counted; reports of one population are made in one transaction';
comment on column ops.report.smallest_cell is 'Persons of whom a number tells at least';
comment on column ops.report.rounding is 'Counts are rounded at random to a multiple of it; 1: they are exact';
comment on column ops.report.definition is 'SHA-256 of its facts and rules; another one makes it anew';
comment on column ops.report.as_of is 'Date for which it was made, in the sender''s time zone; NULL: not yet';
comment on column ops.report.state is 'What it was made from: a number that grows with every load and every erasure';

create table ops.report_part (
    report  text    not null references ops.report on delete cascade,
    grain   text    not null check (grain in ('day', 'month', 'year', 'all')),
    period  date,
    labels  text[]  not null,
    people  int     not null check (people > 0),
    number  bigint  not null,
    sums    numeric[] not null
);
comment on table ops.report_part is 'Rows of reports: parts of a partition of what is counted; never two over one thing';
comment on column ops.report_part.period is 'First day of the day, month or year; NULL: of all time';
comment on column ops.report_part.people is 'Persons of whom it tells, at least; not published';
comment on column ops.report_part.sums is 'NULL where one person makes more than half of it';
create index report_part_in_time on ops.report_part (report, period);

-- Rounding at random must give one count one answer, or it could be averaged away; and nobody may compute it.
create table ops.report_seed (
    one  boolean primary key default true check (one),
    seed bytea   not null
);
comment on table ops.report_seed is 'Secret of random rounding; made once';
insert into ops.report_seed (seed)
values (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || clock_timestamp()::text, 'UTF8')));

drop schema if exists bi cascade;  -- of counts that were hidden each by itself
create schema bi;
create view bi.reports with (security_barrier) as
select report, title, sender, counted, grain, groups, smallest_cell, rounding, as_of, refreshed_at
  from ops.report;
comment on view bi.reports is 'What reports there are, and for which date each was made';
