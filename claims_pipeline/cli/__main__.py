"""`python -m claims_pipeline.cli`: the same as the `claims-pipeline` program."""

from claims_pipeline.cli import app

app(prog_name="claims-pipeline")
