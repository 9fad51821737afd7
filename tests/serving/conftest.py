"""The settings of a service with the exported model of tests/conftest.py."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipeline.running.cli import CONF


@pytest.fixture(scope="session")
def settings(exported: Path) -> dict:
    """conf/serve.yaml with that model, as the service gets it."""
    given, intervals, faces = (OmegaConf.load(CONF / f"{name}.yaml") for name in ("serve", "intervals", "faces"))
    del given["defaults"]
    ours = {"faces": faces, "exported": str(exported), "workers": 2}
    return OmegaConf.to_container(OmegaConf.merge(given, intervals, ours))


@pytest.fixture(scope="session")
def face_settings(settings) -> dict:
    """conf/faces.yaml."""
    return settings["faces"]
