"""An exported model that is small and known: an image's brightness alone decides its emotion."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from pipeline.labels import LABELS
from pipeline.running.cli import CONF
from serving.known import STEEP


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """That model as a SavedModel, written as export does."""
    import keras

    from pipeline.exporting import savedmodel

    image = keras.Input((48, 48, 3), name="image", dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    dense = keras.layers.Dense(7, activation="softmax")
    model = keras.Model(image, dense(mean))
    at = np.arange(7) / 6
    dense.set_weights([np.tile(STEEP * 2 * at / 3, (3, 1)), -STEEP * at**2])
    folder = tmp_path_factory.mktemp("saved") / "emotion/1"
    savedmodel.save(model, folder)
    return folder


@pytest.fixture(scope="session")
def litert(saved: Path) -> bytes:
    """float16.tflite of that model, converted as export does."""
    from pipeline.exporting import litert

    return litert.convert(saved, "float16", np.empty(0))


@pytest.fixture(scope="session")
def export(litert: bytes) -> Callable[..., Path]:
    """Writes an exported model into a folder: export(folder, version=1, temperature=1.0, ...)."""

    def write(folder: Path, **changes) -> Path:
        figure = {"value": 0.5, "low": 0.48, "high": 0.52, "confidence": 0.9, "images": 2000}
        about = {
            "model": "tiny", "run": "tiny_sgd_rgb_8", "run_id": "0" * 32, "config_hash": "1" * 64,
            "train_digest": "2" * 64, "labels": list(LABELS), "size": 48, "channels": 3, "temperature": 1.0,
            "threshold": 0.5, "precision": 0.7, "accuracy": {"valid": figure, "test": figure},
            "f1_macro": {"valid": figure, "test": figure}, "version": 1,
            "files": {"litert/float16.tflite": hashlib.sha256(litert).hexdigest()},
        }  # fmt: skip
        beside = folder.with_name(folder.name + ".new")
        (beside / "litert").mkdir(parents=True)
        (beside / "litert/float16.tflite").write_bytes(litert)
        (beside / "manifest.json").write_text(json.dumps(about | changes))
        if folder.exists():
            old = folder.with_name(folder.name + ".old")
            folder.rename(old)
            beside.rename(folder)
            shutil.rmtree(old)
        else:
            beside.rename(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def exported(export, tmp_path_factory) -> Path:
    """The folder of that model; not to be changed."""
    return export(tmp_path_factory.mktemp("exported") / "champion")


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
