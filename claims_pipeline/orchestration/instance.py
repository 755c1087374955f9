"""The Dagster instance of one machine: `dagster.yaml` of the root, with the storage that the settings ask for.

Belongs here: writing a DAGSTER_HOME that every process of the checkout can share. Does not belong here: Kubernetes,
where the Helm chart writes the instance's configuration.
"""

from pathlib import Path
from typing import Any

import yaml

from claims_pipeline.settings import PROJECT_ROOT, Settings


def prepare_home(settings: Settings) -> Path:
    """Write `dagster.yaml` into a folder of the state folder, for DAGSTER_HOME.

    The same as the root's, with whole paths; with dagster-postgres as storage where CLAIMS_DAGSTER_STORAGE_URL is set
    (the URL itself stays in the environment).

    Returns:
        The folder.
    """
    state = settings.state_dir.resolve()
    config: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    storage = state / "dagster"
    if settings.dagster_storage_url is None:
        config["storage"] = {"sqlite": {"base_dir": str(storage)}}
    else:
        config["storage"] = {"postgres": {"postgres_url": {"env": "CLAIMS_DAGSTER_STORAGE_URL"}}}
    config["local_artifact_storage"]["config"]["base_dir"] = str(storage)
    config["compute_logs"]["config"]["base_dir"] = str(storage / "compute_logs")
    home = state / "dagster_home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    storage.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    text = "# Written by claims-pipeline from the root's dagster.yaml; change that one.\n" + yaml.safe_dump(config)
    if not target.exists() or target.read_text() != text:
        partial = target.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(target)
    return home
