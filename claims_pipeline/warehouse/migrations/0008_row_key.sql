-- A row in quarantine is not absent: a snapshot must not delete what stands in the table under its key.

alter table ops.quarantine add column row_key text[];
comment on column ops.quarantine.row_key is
    'Snapshots only: the key as the table stores it, after treatment; NULL where it could not be read';
