"""All contenders by name, in the order in which they run and are shown."""

from __future__ import annotations

from claims_pipeline_tests.benchmarks.contenders import Contender
from claims_pipeline_tests.benchmarks.contenders.floor import Floor, FloorUpdate
from claims_pipeline_tests.benchmarks.contenders.library import Library
from claims_pipeline_tests.benchmarks.contenders.pandas_to_sql import PandasToSql
from claims_pipeline_tests.benchmarks.contenders.through_dagster import ThroughDagster
from claims_pipeline_tests.benchmarks.contenders.tools import Dlt, Meltano, Sling

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (Floor(), FloorUpdate(), Library(), ThroughDagster(), Dlt(), Sling(), PandasToSql(), Meltano())
}
