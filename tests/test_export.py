"""What is exported says what the model says, by name; and when it does not, nothing is exported."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import TINY, composed, outputs, write_arrays
from tensorflow_serving.apis import prediction_log_pb2

from pipeline import evaluate, export, rank, train
from pipeline.exporting import litert, savedmodel
from pipeline.exporting.ranked import best_ranked
from pipeline.labels import FOLDERS, LABELS
from pipeline.learning import models
from pipeline.reporting.predictions import artifact
from pipeline.running.errors import UserError
from pipeline.running.tracking import open_store
from pipeline.serving.model import Model

LAYERS = "model.build.layers=[{conv:4},pool,pool,flatten]"
COLOURS = {
    "angry": (230, 20, 20),
    "disgust": (20, 230, 20),
    "fear": (20, 20, 230),
    "happy": (230, 230, 20),
    "sad": (20, 230, 230),
    "surprise": (230, 20, 230),
    "neutral": (230, 230, 230),
}


def faces(folder: str, images: int, seed: int) -> np.ndarray:
    """Pictures of one class, uint8 [images, 48, 48, 3]: here each class has a colour of its own."""
    noise = np.random.default_rng(seed).integers(-20, 21, (images, 48, 48, 3))
    return (np.array(COLOURS[folder]) + noise).astype(np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project with one trained, evaluated, ranked and exported run, in the folder out, which the tests only read."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_arrays(root / "data/resized/rgb", images=84)
        for seed, split in enumerate(("train", "valid", "test")):
            labels = pd.read_parquet(f"data/resized/rgb/{split}.parquet")["label"]
            folders = {LABELS.index(label): folder for folder, label in FOLDERS.items()}
            images = [faces(folders[label], 1, 100 * seed + row) for row, label in enumerate(labels)]
            np.save(f"data/resized/rgb/{split}.npy", np.concatenate(images))
        train.main(composed("train", *TINY, LAYERS, "augment=none", "epochs=6", "output=out"))
        evaluate.main(composed("evaluate", "run=out", "resamples=100", "one_by_one=1"))
        rank.main(composed("rank"))
        export.main(composed("export", "warm_up=[1,4]", "calibration.images=20"))
    return root


@pytest.fixture
def project(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


def manifest() -> dict:
    return json.loads(Path("export/manifest.json").read_text())


def served(format: str):
    """Asks an exported format the way whoever serves it does: by the names of its input and output."""
    if format == "savedmodel":
        loaded = tf.saved_model.load(f"export/emotion/{manifest()['version']}")
        return lambda images: loaded.signatures["serving_default"](image=tf.constant(images))["probabilities"].numpy()
    runner = Interpreter(f"export/litert/{format}.tflite").get_signature_runner()
    return lambda images: runner(image=images)["probabilities"]


@pytest.mark.parametrize("format", ["savedmodel", *litert.PRECISIONS])
def test_the_answer_is_the_class_of_the_image_by_name(project, format):
    ask, labels = served(format), manifest()["labels"]
    assert labels == ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
    for folder in COLOURS:
        probabilities = ask(faces(folder, 3, 999))
        assert [labels[row.argmax()] for row in probabilities] == [FOLDERS[folder]] * 3


@pytest.mark.parametrize("format", ["savedmodel", *litert.PRECISIONS])
def test_any_number_of_uint8_images_gives_float32_probabilities(project, format):
    ask = served(format)
    images = np.concatenate([faces(folder, 2, 5) for folder in COLOURS])
    together = ask(images[:8])
    assert (together.shape, together.dtype) == ((8, 7), np.float32)
    assert np.allclose(together.sum(1), 1, atol=0.01)
    alone = np.concatenate([ask(images[row : row + 1]) for row in range(8)])
    assert np.allclose(alone, together, atol=1e-5)


def test_the_service_serves_what_was_exported(project):
    assert outputs("export") == ["export"]
    model = Model(Path("export"), [1, 4], threads=1)
    for folder in COLOURS:
        said = model.predict(faces(folder, 3, 7)).argmax(1)
        assert {LABELS[label] for label in said} == {FOLDERS[folder]}


def test_a_run_is_not_exported_with_other_images_than_it_was_trained_beside(project, tmp_path):
    shutil.copytree("out", tmp_path / "run")
    about = json.loads((tmp_path / "run/train/run.json").read_text())
    for split in ("valid", "test"):
        (tmp_path / "run/train/run.json").write_text(json.dumps(about | {f"{split}_digest": "another"}))
        with pytest.raises(UserError, match=r"was trained and chosen on other images than data/resized/rgb holds now"):
            export.main(composed("export", f"run={tmp_path / 'run'}", f"paths.export={tmp_path / 'export'}"))
    assert not (tmp_path / "export").exists()


def test_a_run_is_not_exported_by_predictions_of_other_images(project, tmp_path):
    shutil.copytree("out", tmp_path / "run")
    file = tmp_path / "run/evaluate/predictions.parquet"
    table = pd.read_parquet(file)
    table["id"] = table["id"].where(table["split"] != "test", "test/happy/other" + table["id"].str[-3:])
    table.to_parquet(file)
    with pytest.raises(UserError, match=r"was evaluated on other images of test than there are now; evaluate it again"):
        export.main(composed("export", f"run={tmp_path / 'run'}", f"paths.export={tmp_path / 'export'}"))


def test_the_manifest_says_which_model_it_is_how_good_and_what_files_it_has(project):
    about, report = manifest(), json.loads(Path("out/evaluate/report.json").read_text())
    run = json.loads(Path("out/train/run.json").read_text())
    assert {key: about[key] for key in ("data", "run", "run_id", "config_hash", "train_digest")}.items() <= run.items()
    assert (about["model"], about["size"], about["channels"]) == ("model_2_best", 48, 3)
    for key in ("temperature", "threshold", "precision"):
        assert about[key] == report["calibration"][key]
    for split in ("valid", "test"):
        low, high = report[split]["intervals"]["accuracy"]
        expected = {"value": report[split]["scores"]["accuracy"], "low": low, "high": high}
        expected |= {"confidence": 0.95, "images": 84}
        assert about["accuracy"][split] == expected
    assert about["f1_macro"] == {}  # it is right every time, and an interval is not known
    files = {str(path.relative_to("export")) for path in Path("export").rglob("*") if path.is_file()}
    assert set(about["files"]) == files - {"manifest.json"}
    for name, digest in about["files"].items():
        assert hashlib.sha256(Path("export", name).read_bytes()).hexdigest() == digest
    assert [path.name for path in Path("export/emotion").iterdir()] == [str(about["version"])]
    assert set(about["formats"]) == {"keras", "savedmodel", *litert.PRECISIONS}
    assert about["formats"]["float32"]["max_difference"] <= 1e-5
    assert about["formats"]["int8"]["accuracy"] == pytest.approx(about["accuracy"]["test"]["value"], abs=0.005)


def test_only_the_formats_that_are_asked_for_are_written(project, tmp_path):
    export.main(composed("export", "formats=[float16]", f"paths.export={tmp_path}/champion"))
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"champion/manifest.json", "champion/litert/float16.tflite"}
    about = json.loads((tmp_path / "champion/manifest.json").read_text())
    assert set(about["formats"]) == {"keras", "float16"}
    assert set(about["files"]) == {"litert/float16.tflite"}


def test_a_folder_of_something_else_is_not_replaced(project, tmp_path, monkeypatch):
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setattr(export, "keras_says", lambda *_: pytest.fail("begun"))
    with pytest.raises(UserError, match=r"holds something else than this writes \(no manifest.json\)"):
        export.main(composed("export", "run=out", f"paths.export={tmp_path}"))
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_format_that_there_is_not_is_refused(project):
    with pytest.raises(UserError, match="expected at least one of savedmodel, float32, float16, int8"):
        export.main(composed("export", "formats=[float16,onnx]"))


def test_warm_up_requests_are_ones_that_the_model_answers_and_show_no_face(project):
    ask, sizes = served("savedmodel"), []
    file = f"export/emotion/{manifest()['version']}/assets.extra/tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("emotion", "serving_default")
        assert list(request.inputs) == ["image"]
        images = tf.make_ndarray(request.inputs["image"])
        assert (images.dtype, np.ptp(images)) == (np.uint8, 0)
        sizes.append(len(ask(images)))
    assert sizes == [1, 4]


def test_a_savedmodel_holds_each_weight_once(project):
    weights = sum(variable.numpy().nbytes for variable in models.load("out/train/model.keras").weights)
    (data,) = Path("export/emotion").glob("*/variables/variables.data*")
    assert data.stat().st_size < 1.1 * weights + 4096


def test_the_best_ranked_that_was_evaluated_is_exported(project, tmp_path, caplog):
    store = open_store("mlruns", "sample", create=False)
    other = store.start("not_evaluated", {}, {})
    ranking = pd.read_csv("reports/ranking.csv")
    first = ranking.assign(run="not_evaluated", run_id=other)
    pd.concat([first, ranking]).to_csv(tmp_path / "ranking.csv", index=False)
    shutil.copy("reports/ranking.json", tmp_path)
    run = best_ranked(tmp_path, "sample", store)
    assert run.about["run_id"] == manifest()["run_id"]
    assert "not_evaluated: MLflow has no train/model.keras" in caplog.text
    first.to_csv(tmp_path / "ranking.csv", index=False)
    with pytest.raises(UserError, match=r"ranking.csv: no run of it was evaluated"):
        best_ranked(tmp_path, "sample", store)
    with pytest.raises(UserError, match=r"ranking.csv: not there; run python -m pipeline.rank study=sample first, or"):
        best_ranked(tmp_path / "none", "sample", store)


def test_copies_from_mlflow_lie_as_in_the_runs_folder_so_that_equal_names_do_not_meet(project):
    store, run_id = open_store("mlruns", "sample", create=False), manifest()["run_id"]
    for name in ("train/metrics.json", "evaluate/metrics.json"):
        copy = artifact(store, run_id, name)
        assert copy.parts[-3:] == (run_id, *name.split("/"))
        assert copy.read_bytes() == Path("out", name).read_bytes()


@pytest.mark.parametrize("left", [0, 0.5])
@pytest.mark.parametrize("name", ["ranking.csv", "ranking.json"])
def test_a_ranking_that_was_cut_off_is_told(project, tmp_path, name, left):
    shutil.copytree("reports", tmp_path / "reports")
    content = Path("reports", name).read_bytes()
    (tmp_path / "reports" / name).write_bytes(content[: int(left * len(content))])
    with pytest.raises(UserError, match=rf"{name}: cannot be read, .*; run python -m pipeline\.rank study=sample"):
        export.main(composed("export", f"paths.reports={tmp_path}/reports"))


@pytest.mark.parametrize("name", ["train/run.json", "evaluate/report.json", "evaluate/predictions.parquet"])
def test_a_run_whose_file_was_cut_off_is_told(project, tmp_path, name):
    shutil.copytree("out", tmp_path / "out")
    file = tmp_path / "out" / name
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"out/{name}: cannot be read, .*; (run|train it again)"):
        export.main(composed("export", f"run={tmp_path}/out"))


def test_the_best_of_another_study_than_asked_for_is_refused(project):
    open_store("mlruns", "own", create=True)
    with pytest.raises(UserError, match=r"is of sample, but own was asked for; run python -m pipeline\.rank study=own"):
        export.main(composed("export", "data=own", "paths.export=others"))
    assert not Path("others").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("train/model.keras", r"lacking/train/model\.keras: not there; train it again"),
        ("evaluate/report.json", r"evaluate/report\.json: not there; run: python -m pipeline\.evaluate run=lacking"),
    ],
)
def test_a_run_that_lacks_a_file_is_told_which(project, file, message):
    shutil.copytree("out", "lacking", dirs_exist_ok=True)
    Path("lacking", file).unlink()
    with pytest.raises(UserError, match=message):
        export.main(composed("export", "run=lacking"))


def test_row_31_killed_in_mid_export_leaves_no_version_to_see(project):
    command = [sys.executable, "-m", "pipeline.export", "run=out", "paths.export=first"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(Path().glob(".first.*.partial/emotion/*/saved_model.pb")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("first").exists()
    export.main(composed("export", "run=out", "paths.export=first", "formats=[savedmodel]"))
    assert len(list(Path("first/emotion").iterdir())) == 1
    assert not list(Path().glob(".first.*"))


def wrong(weights: bytes, content: bytes) -> bytes:
    """A file whose last bias makes every image the first emotion."""
    assert content.count(weights) == 1
    return content.replace(weights, np.array([50, *np.frombuffer(weights, np.float32)[1:]], np.float32).tobytes())


@pytest.mark.parametrize("broken", ["savedmodel", "float32", "int8"])
def test_row_32_a_format_that_disagrees_fails_the_export_and_the_worst_image_is_named(project, monkeypatch, broken):
    before = manifest()
    bias = models.load("out/train/model.keras").get_layer("emotion").bias.numpy().tobytes()
    right = {precision: Path(f"export/litert/{precision}.tflite").read_bytes() for precision in litert.PRECISIONS}
    exported = right | {broken: wrong(bias, right["float32"])}
    monkeypatch.setattr(litert, "convert", lambda saved, precision, calibration: exported[precision])
    if broken == "savedmodel":
        save = savedmodel.save

        def saves_another(model, folder):
            other = keras.models.clone_model(model)
            other.set_weights([*model.get_weights()[:-1], model.get_weights()[-1] + [50, 0, 0, 0, 0, 0, 0]])
            save(other, folder)

        monkeypatch.setattr(savedmodel, "save", saves_another)
    with pytest.raises(
        UserError, match=rf"^{broken} .*worst image test/\w+/\d+\.jpg: Keras \w+ [\d.]+, {broken} anger"
    ):
        export.main(composed("export", "run=out"))
    assert manifest() == before
    assert not list(Path().glob(".export.*"))


def test_row_33_a_model_that_is_not_the_one_evaluated_is_refused(project):
    shutil.copytree("out", "tampered", dirs_exist_ok=True)
    model = models.load("out/train/model.keras")
    *others, bias = model.get_weights()
    model.set_weights([*others, bias[::-1] + 0.5 * np.arange(7)])
    models.save(model, "tampered/train/model.keras")
    with pytest.raises(UserError, match=r"not the model that was evaluated.*worst image test/\w+/\d+.jpg: evaluated"):
        export.main(composed("export", "run=tampered", "paths.export=none"))
    assert not Path("none").exists()


def test_row_33_a_model_with_a_lambda_is_refused(project):
    shutil.copytree("out", "code", dirs_exist_ok=True)
    image = keras.Input((48, 48, 3), dtype="uint8", name="image")
    inside = keras.layers.Lambda(lambda x: keras.ops.mean(keras.ops.cast(x, "float32"), (1, 2)))(image)
    models.save(keras.Model(image, keras.layers.Dense(7)(inside)), "code/train/model.keras")
    with pytest.raises(UserError, match=r"code/train/model.keras: holds keras.layers.Lambda"):
        export.main(composed("export", "run=code", "paths.export=none"))
    assert not Path("none").exists()


def test_int8_is_calibrated_on_images_of_train_and_on_none_of_test(project, tmp_path, monkeypatch):
    seen = []

    def convert(saved, precision, calibration):
        seen.extend(image.tobytes() for image in calibration)
        return Path(f"export/litert/{precision}.tflite").read_bytes()

    monkeypatch.setattr(litert, "convert", convert)
    export.main(composed("export", "run=out", "formats=[int8]", f"paths.export={tmp_path}/export"))
    of = {split: {image.tobytes() for image in np.load(f"data/resized/rgb/{split}.npy")} for split in ("train", "test")}
    assert not of["train"] & of["test"], "the test shows nothing"
    assert seen and set(seen) <= of["train"]
    assert not set(seen) & of["test"]
