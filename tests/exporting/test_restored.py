"""What restore makes of a LiteRT file says what the file says, or is refused."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import composed

from pipeline import restore
from pipeline.exporting import litert, savedmodel
from pipeline.exporting.restored import difference, restored
from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.running.errors import UserError

COMPACT = {
    "_target_": "pipeline.learning.models.compact",
    "crop": 2,
    "stem": 4,
    "blocks": [{"width": 4, "stride": 1, "squeeze": False}, {"width": 8, "stride": 2, "squeeze": True}],
    "squeeze_ratio": 2,
    "dropout": 0.3,
    "smooth": 0.25,
}
STACK = {
    "_target_": "pipeline.learning.models.layer_stack",
    "layers": [{"conv": 4}, "norm", "pool", {"conv": 6}, "norm", "pool", "pool", "flatten", {"dense": 8}, "norm"],
}
BUILDS = {"compact": COMPACT, "layer_stack": STACK}


@pytest.fixture(scope="module", params=BUILDS)
def exported(request, tmp_path_factory) -> tuple[keras.Model, Path]:
    """A model of random weights, all of them, and its float16 file as export writes it."""
    folder = tmp_path_factory.mktemp("exported")
    keras.utils.set_random_seed(0)
    model = models.build({"name": request.param, "build": BUILDS[request.param]}, 24, 1)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
        elif layer.weights:
            layer.set_weights([weight + random.normal(0, 0.1, weight.shape) for weight in layer.get_weights()])
    savedmodel.save(model, folder / "saved")
    file = folder / "champion/litert/float16.tflite"
    file.parent.mkdir(parents=True)
    file.write_bytes(litert.convert(folder / "saved", "float16", np.empty(0)))
    return model, file


def manifest(file: Path, **changes) -> Path:
    folder = file.parent.parent
    about = {"model": "x", "run": "x_sgd", "version": 1, "labels": LABELS, "size": 24, "channels": 1, "temperature": 1}
    about |= {"threshold": 0.5, "precision": 0.8, "train_digest": "of its train", "accuracy": {}, "f1_macro": {}}
    about |= {"architecture": architecture(file)} | changes
    about |= {"files": {"litert/float16.tflite": hashlib.sha256(file.read_bytes()).hexdigest()}}
    (folder / "manifest.json").write_text(json.dumps(about))
    return folder


def architecture(file: Path) -> dict:
    name = "compact" if b"stem_conv" in file.read_bytes() else "layer_stack"
    return BUILDS[name]


def test_a_restored_model_says_what_the_model_before_the_export_said(exported):
    model, file = exported
    again = restored(file, architecture(file), 24, 1)
    images = np.random.default_rng(1).integers(0, 256, (20, 24, 24, 1)).astype(np.uint8)
    before = model.predict_on_batch(images)
    assert before.std(0).max() > 0.005  # else any model would do
    np.testing.assert_allclose(again.predict_on_batch(images), before, atol=2e-3)
    assert difference(again, file) < 1e-3


def test_the_command_writes_a_keras_model_that_the_project_loads(exported, tmp_path, monkeypatch):
    model, file = exported
    folder = manifest(file)
    monkeypatch.chdir(tmp_path)
    restore.main(composed("restore", f"exported={folder}", "output=made/again.keras"))
    images = np.random.default_rng(1).integers(0, 256, (5, 24, 24, 1)).astype(np.uint8)
    again = models.load("made/again.keras").predict_on_batch(images)
    np.testing.assert_allclose(again, model.predict_on_batch(images), atol=2e-3)
    assert models.trained_on("made/again.keras") == {"train_digest": "of its train", "caution": ""}


@pytest.mark.parametrize("exported", ["compact"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"architecture": COMPACT | {"stem": 5}}, "another architecture"),
        ({"architecture": {"_target_": "pipeline.learning.models.load", "path": "x"}}, "expected one of"),
        ({"architecture": COMPACT | {"dropout": {"_target_": "pathlib.Path.touch", "self": "run"}}}, "compact: "),
        ({"architecture": COMPACT | {"crop": 4}}, "differs by"),
    ],
)
def test_what_is_not_the_files_architecture_is_refused(exported, changes, expected, tmp_path, monkeypatch):
    _, file = exported
    folder = manifest(file, **changes)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=expected):
        restore.main(composed("restore", f"exported={folder}"))
    assert not list(tmp_path.iterdir())
