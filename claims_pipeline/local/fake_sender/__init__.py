"""The fake senders: dumps of invented records that live and are spoilt on purpose, and what is expected of them.

`generate` plays the VA; `generate_sender` plays any sender that has contracts.
"""

from claims_pipeline.local.fake_sender.any_feed import generate_sender
from claims_pipeline.local.fake_sender.defects import PlantedVerdict
from claims_pipeline.local.fake_sender.dialect import Dialect
from claims_pipeline.local.fake_sender.engine import DATASETS, Progress, generate
from claims_pipeline.local.fake_sender.life import Plan
from claims_pipeline.local.fake_sender.manifest import DumpManifest, Manifest, Planted
from claims_pipeline.local.fake_sender.schedule import CALM, LIVELY, SenderPlan, Trouble
from claims_pipeline.local.fake_sender.sinks import Sink, folder_sink, s3_sink

__all__ = [
    "CALM", "DATASETS", "LIVELY", "Dialect", "DumpManifest", "Manifest", "Plan", "Planted", "PlantedVerdict",
    "Progress", "SenderPlan", "Sink", "Trouble", "folder_sink", "generate", "generate_sender", "s3_sink",
]  # fmt: skip
