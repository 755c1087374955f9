"""S3: listing the inbox, what file names say, the raw archive. Knows no SQL and no Dagster."""
