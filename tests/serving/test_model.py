"""The exported model: checked, right by name, calibrated."""

import asyncio
import json
import shutil

import numpy as np
import pytest

from pipeline.labels import LABELS
from pipeline.running.errors import UserError
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import Model
from pipeline.serving.watch import Watched
from serving.known import gray_of


def images(*labels: str) -> np.ndarray:
    return np.stack([np.full((48, 48, 3), gray_of(label), np.uint8) for label in labels])


def test_images_of_known_class_get_its_name_whatever_the_order_of_the_models_outputs(exported, export, tmp_path):
    model = Model(exported, [1, 4], 1)
    assert [LABELS[k] for k in model.predict(images(*LABELS)).argmax(1)] == list(LABELS)
    turned = export(tmp_path / "turned", labels=list(reversed(LABELS)))
    assert [LABELS[k] for k in Model(turned, [1], 1).predict(images(*LABELS)).argmax(1)] == list(reversed(LABELS))


@pytest.mark.parametrize("sizes", [[1, 4], [4]])  # 1 is among them whether it is named or not
def test_batches_of_any_number_give_the_same_as_one_at_a_time(exported, sizes):
    model, one = Model(exported, sizes, 1), Model(exported, [1], 1)
    many = np.random.default_rng(0).integers(0, 256, (11, 48, 48, 3), np.uint8)
    assert np.allclose(
        model.predict(many), np.concatenate([one.predict(many[k : k + 1]) for k in range(11)]), atol=1e-6
    )
    assert model.predict(many[:0]).shape == (0, 7)


def test_the_temperature_softens_and_the_threshold_decides_what_is_certain(export, tmp_path):
    between = np.full((1, 48, 48, 3), 21, np.uint8)  # between anger and disgust
    sharp = Model(export(tmp_path / "sharp"), [1], 1)
    soft = Model(export(tmp_path / "soft", temperature=4.0, threshold=0.6), [1], 1)
    p = sharp.raw(between)[0]
    expected = p**0.25 / (p**0.25).sum()
    assert np.allclose(soft.predict(between)[0], expected, atol=1e-5)
    assert not soft.certain(soft.predict(between)).any()
    assert sharp.certain(sharp.predict(images("fear"))).all()
    assert Model(export(tmp_path / "none", threshold=0.0), [1], 1).certain(np.full((1, 7), 1 / 7)).all()


@pytest.mark.parametrize(
    ("change", "said"),
    (
        (lambda folder: shutil.rmtree(folder), "not there"),
        (lambda folder: (folder / "litert/float16.tflite").unlink(), "not there"),
        (lambda folder: (folder / "litert/float16.tflite").write_bytes(b"TFL3"), "SHA-256"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "valid dictionary"),
        (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "not JSON"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "model: Field required"),
        (lambda folder: (shutil.rmtree(folder), folder.write_text("a file")), "Not a directory"),
        (lambda folder: edit(folder, temperature=None), "temperature"),
        (lambda folder: edit(folder, temperature=float("nan")), "temperature"),
        (lambda folder: edit(folder, labels="anger"), "labels"),
        (lambda folder: edit(folder, files=["litert/float16.tflite"]), "files"),
        (lambda folder: edit(folder, version="v7"), "version"),
        (lambda folder: edit(folder, accuracy={"test": 0.5}), "accuracy.test"),
        (lambda folder: edit(folder, labels=["angry", *LABELS[1:]]), "labels"),
        (lambda folder: edit(folder, temperature=0), "temperature"),
        (lambda folder: edit(folder, channels=1), "not a LiteRT model of images"),
    ),
)
def test_a_model_that_is_not_as_exported_is_refused_by_name(export, tmp_path, change, said):
    folder = export(tmp_path / "champion")
    change(folder)
    with pytest.raises(UserError, match=said) as refusal:
        Model(folder, [1], 1)
    assert str(folder) in str(refusal.value) and "\n" not in str(refusal.value)


def test_any_fault_of_a_look_leaves_the_model_in_service_and_it_looks_again(export, tmp_path, caplog):
    watched = Watched(export(tmp_path / "champion"), [1], 1, Metrics())
    asyncio.run(watched.look())
    assert watched.current.about["version"] == 1
    export(tmp_path / "champion", version=2)
    watched.batch_sizes = [1, "four"]  # a TypeError
    asyncio.run(watched.look())
    assert watched.current.about["version"] == 1 and "the model in service stays" in caplog.text
    watched.batch_sizes = [1]
    asyncio.run(watched.look())
    assert watched.current.about["version"] == 2 and not watched.trouble


def edit(folder, **changes) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_is_as_likely_as_the_threshold_is_not_certain(export, tmp_path):
    model = Model(export(tmp_path / "never", threshold=1.0), [1], 1)
    assert not model.certain(np.eye(7, dtype=np.float32)).any()
