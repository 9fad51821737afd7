"""The settings of a service with the exported model of tests/conftest.py."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipeline.running.cli import CONF


@pytest.fixture(scope="session")
def settings(exported: Path) -> dict:
    """conf/serve.yaml with that model, as the service gets it."""
    given = OmegaConf.load(CONF / "serve.yaml")
    del given["defaults"]
    faces = OmegaConf.load(CONF / "faces.yaml")
    return OmegaConf.to_container(OmegaConf.merge(given, {"faces": faces, "exported": str(exported), "workers": 2}))


@pytest.fixture(scope="session")
def face_settings(settings) -> dict:
    """conf/faces.yaml."""
    return settings["faces"]
