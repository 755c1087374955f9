"""The fake sender: dumps of invented 526EZ claims that live and are spoilt on purpose, and what is expected of them."""

from claims_pipeline.local.fake_sender.defects import PlantedVerdict
from claims_pipeline.local.fake_sender.dialect import Dialect
from claims_pipeline.local.fake_sender.engine import DATASETS, Progress, generate
from claims_pipeline.local.fake_sender.life import Plan
from claims_pipeline.local.fake_sender.manifest import DumpManifest, Manifest, Planted
from claims_pipeline.local.fake_sender.sinks import Sink, folder_sink, s3_sink

__all__ = [
    "DATASETS", "Dialect", "DumpManifest", "Manifest", "Plan", "Planted", "PlantedVerdict", "Progress", "Sink",
    "folder_sink", "generate", "s3_sink",
]  # fmt: skip
