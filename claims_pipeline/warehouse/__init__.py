"""Postgres: migrations, tables of feeds, ledger, load, audit, quarantine. Knows no S3 and no Dagster."""
