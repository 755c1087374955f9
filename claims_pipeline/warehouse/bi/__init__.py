"""What `bi` shows: counts without identifiers, for people and BI tools. No row of a record, no S3, no Dagster."""
