-- A row in quarantine is not absent: a snapshot must not delete what stands in the table under its key.

alter table ops.quarantine add column row_key text[], add column row_hash bytea;
comment on column ops.quarantine.row_key is
    'Snapshots only: the key as the table stores it, after treatment; NULL where it could not be read';
comment on column ops.quarantine.row_hash is
    'Rows that the load set apart only (unique.*): their hash, to know them again when the dump is loaded again';
