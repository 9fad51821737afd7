"""A run is whole or absent, resumes where it was cut off, and is tracked as what became of it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import TINY, composed, write_arrays
from omegaconf import open_dict
from shells import shell
from tracked import PARAMS, TAGS

from pipeline import compare, train
from pipeline.learning import checkpoint, models
from pipeline.learning.arrays import read_arrays
from pipeline.learning.batches import evaluation_batches
from pipeline.learning.checkpoint import Checkpoints, State
from pipeline.reporting import histories, ranking
from pipeline.running import tracking
from pipeline.running.config import config_hash, identity
from pipeline.running.errors import UserError
from pipeline.running.tracking import open_store

ROOT = Path(__file__).resolve().parents[1]


def run(*overrides: str, output: str = "out") -> Path:
    train.main(composed("train", *TINY, f"output={output}", *overrides))
    return Path(output) / "train"


def runs(status: str = "FINISHED") -> list:
    store = open_store("mlruns", "sample", create=True)
    return store.client.search_runs([store.experiment_id], f"status = '{status}'")


def test_a_run_writes_its_model_history_and_figures_and_tracks_them(project):
    folder = run()
    history = pd.read_csv(folder / "history.csv")
    about = json.loads((folder / "run.json").read_text())
    assert history["epoch"].tolist() == [1, 2, 3]
    assert about["best_val_accuracy"] == history["val_accuracy"].max()
    assert about["run"] == "model_2_best_sgd_rgb_8"
    (tracked,) = runs()
    assert tracked.info.run_name == about["run"]
    assert tracked.data.metrics["best_val_accuracy"] == about["best_val_accuracy"]
    assert tracked.data.params["optimizer.build.learning_rate"] == "0.01"
    assert tracked.data.params["seed"] == "0"
    assert [each.dataset.name for each in tracked.inputs.dataset_inputs] == ["sample", "sample"]
    client = open_store("mlruns", "sample", create=True).client
    curve = client.get_metric_history(tracked.info.run_id, "val_loss")
    assert [point.value for point in curve] == history["val_loss"].tolist()
    for took in ("epoch_seconds", "epoch_cpu_seconds"):
        assert all(point.value > 0 for point in client.get_metric_history(tracked.info.run_id, took))
        assert tracked.data.metrics[took] > 0
        assert took not in history
    assert {file.path for file in client.list_artifacts(tracked.info.run_id, "train")} >= {
        "train/model.keras",
        "train/history.csv",
        "train/config.yaml",
    }
    assert not list(project.glob("checkpoints/*/"))


def test_a_folders_name_that_mlflow_would_refuse_is_tracked(project):
    cfg = composed("train", *TINY, "epochs=1", "output=out")
    with open_dict(cfg):
        cfg.data.layout.folders = {"happy (1)": "happiness", "a=b&c": "fear"}
    train.main(cfg)
    (tracked,) = runs()
    assert json.loads(tracked.data.params["data.layout"])["folders"] == {"happy (1)": "happiness", "a=b&c": "fear"}


def test_equal_choices_on_other_images_are_a_run_beside_and_on_the_same_ones_none(project):
    train.main(composed("train", *TINY, "epochs=1"))
    (first,) = Path("multirun").iterdir()
    before = (first / "train/run.json").read_bytes()
    shutil.rmtree("data/resized/rgb")
    write_arrays(Path("data/resized/rgb"), seed=9)
    for _ in range(2):
        train.main(composed("train", *TINY, "epochs=1"))
        assert len(list(Path("multirun").iterdir())) == 2
    assert (first / "train/run.json").read_bytes() == before


def test_the_saved_model_is_the_one_of_the_best_epoch(project):
    folder = run("epochs=8", "optimizer.build.learning_rate=0.1")  # a rate at which accuracy goes up and down
    history = pd.read_csv(folder / "history.csv")
    assert history["val_accuracy"].idxmax() not in (0, 7), "the test shows nothing"
    valid = read_arrays("data/resized/rgb", "sample").split("valid")
    predicted = models.load(folder / "model.keras").predict(evaluation_batches(valid, 16), verbose=0)
    assert np.mean(predicted.argmax(1) == valid.labels) == pytest.approx(history["val_accuracy"].max(), abs=1e-6)


def test_smoothed_labels_are_for_training_and_the_loss_on_valid_is_of_the_labels_as_they_are(project):
    folder = run("label_smoothing=0.9", "epochs=1")
    arrays, model = read_arrays("data/resized/rgb", "sample"), models.load(folder / "model.keras")
    history, valid = pd.read_csv(folder / "history.csv"), arrays.split("valid")
    said = model.predict(np.asarray(valid.images), verbose=0)
    own = -np.log(said[np.arange(len(said)), valid.labels]).mean()
    smoothed = 0.1 * own - 0.9 * np.log(said).mean()
    assert history["val_loss"][0] == pytest.approx(own, rel=1e-4) != pytest.approx(smoothed, rel=1e-4)


def test_averaged_weights_are_what_is_validated_and_kept(project, monkeypatch):
    raw, averaged = [], []
    epoch_done = train._epoch_done

    def told(model, *given):
        raw.append([np.array(variable) for variable in model.trainable_variables])
        averaged.append([np.array(variable) for variable in model.optimizer._model_variables_moving_average])
        epoch_done(model, *given)

    monkeypatch.setattr(train, "_epoch_done", told)
    folder = run("optimizer=sgd_cosine", "optimizer.build.ema_momentum=0.9", "optimizer.build.learning_rate=0.02")
    history = pd.read_csv(folder / "history.csv")
    valid = read_arrays("data/resized/rgb", "sample").split("valid")
    kept = models.load(folder / "model.keras")
    predicted = kept.predict(evaluation_batches(valid, 16), verbose=0)
    assert np.mean(predicted.argmax(1) == valid.labels) == pytest.approx(history["val_accuracy"].max(), abs=1e-6)
    rates = history["learning_rate"]  # it warms up through the first epoch and falls through the others
    assert rates[0] == pytest.approx(0.01) and all(rates[1:-1].to_numpy() > rates[2:].to_numpy()) and rates.iloc[-1] > 0
    best = history["val_accuracy"].idxmax()
    for variable, mean, last in zip(kept.trainable_variables, averaged[best], raw[best], strict=True):
        assert np.array_equal(variable, mean)
        assert "kernel" not in variable.name or not np.allclose(variable, last, atol=1e-6)


def test_a_folder_of_arrays_that_goes_while_it_trains_costs_nothing(project, monkeypatch):
    fit = train.fit

    def and_gone(*given):
        fit(*given)
        shutil.rmtree("data/resized/rgb")

    monkeypatch.setattr(train, "fit", and_gone)
    assert json.loads((run() / "run.json").read_text())["train_images"] == 40


def test_never_reads_test(project):
    for file in project.glob("data/resized/rgb/test.*"):
        file.unlink()
    run()


def test_what_a_run_notes_is_what_tests_of_the_ranking_take_it_to(trained):
    (run,) = runs()
    assert PARAMS.keys() <= run.data.params.keys() and TAGS.keys() <= run.data.tags.keys()


def test_a_finished_run_is_skipped_and_rerun_trains_it_again(trained):
    run()
    assert len(runs()) == 1
    run("rerun=true")
    assert len(runs()) == 2


def test_a_number_that_is_written_whole_trains_and_is_the_same_run(project):
    for momentum in ("0", "0.0"):
        run("epochs=1", f"optimizer.build.momentum={momentum}", "optimizer.build.nesterov=false")
    assert len(runs()) == 1 and not runs("FAILED")


def test_the_files_of_a_finished_run_are_fetched_to_where_they_are_asked_for(trained):
    files = {file.name: file.read_bytes() for file in (trained / "train").iterdir()}
    run("seed=1", output="other")
    for output in ("new", "other"):  # no folder there, and one of another run
        folder = run(output=output)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    assert len(runs()) == 2
    shutil.rmtree("mlruns/artifacts")
    run(output="new")
    with pytest.raises(UserError, match=r"MLflow has no files of run .*; rerun=true trains it again"):
        run(output="newer")
    assert not list(Path("newer").iterdir())


@pytest.mark.parametrize("output", ["/proc/out", "file/out"])
def test_an_output_that_cannot_be_written_is_refused_before_training(project, monkeypatch, output):
    Path("file").touch()
    monkeypatch.setattr(train, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(UserError, match=rf"^{output}/train: cannot be written"):
        run(output=output)
    assert not runs("RUNNING")


@pytest.mark.parametrize("before", ["project", "trained"])
def test_a_folder_of_somebodys_faces_is_no_output(request, monkeypatch, before):
    request.getfixturevalue(before)
    face = Path("faces/train/happy/a.jpg")
    face.parent.mkdir(parents=True)
    face.write_bytes(b"mine")
    monkeypatch.setattr(train, "fit", lambda *_: pytest.fail("trained"))
    with pytest.raises(UserError, match=r"faces/train: holds something else than this writes \(no run.json\)"):
        run(output="faces")
    assert face.read_bytes() == b"mine"


def test_other_images_are_another_run(trained):
    shutil.rmtree("data/resized/rgb")
    write_arrays(Path("data/resized/rgb"), seed=1)
    run()
    assert len(runs()) == 2


def test_runs_in_both_channel_modes_are_known_to_be_of_the_same_validation_images(trained):
    write_arrays(Path("data/resized/grayscale"), channels=1)
    run("channels=grayscale", output="gray")
    tags = [each.data.tags for each in runs()]
    assert tags[0]["valid_set"] == tags[1]["valid_set"]
    assert [each.info.run_name for each in runs()] == ["model_2_best_sgd_grayscale_8", "model_2_best_sgd_rgb_8"]


def test_training_goes_on_from_an_earlier_run(trained):
    first = trained.rename("first") / "train"
    still = ("initial_weights=first", "epochs=1", "optimizer.build.learning_rate=1e-12")
    second = run(*still, output="second")
    kept = pd.read_csv(first / "history.csv")["val_accuracy"].max()
    assert pd.read_csv(second / "history.csv")["val_accuracy"].tolist() == [pytest.approx(kept, abs=1e-6)]
    run(*still, output="second")
    assert len(runs()) == 2, "the same run again is skipped"
    store = open_store("mlruns", "sample", create=False)
    initial = {row["run_id"]: row["earlier_run_ids"] for row in map(ranking.row, runs())}
    (later, earlier) = (next(each for each in initial if bool(initial[each]) is goes_on) for goes_on in (True, False))
    assert initial[later] == earlier
    history = histories.read(store, [later, earlier])
    spent = compare.cpu_seconds_spent(history, initial, store).groupby(history["run_id"])
    own = history.groupby("run_id")["epoch_cpu_seconds"].sum()
    assert spent.max().to_dict() == pytest.approx({earlier: own[earlier], later: own.sum()})
    assert compare.cpu_seconds_spent(history, initial | {earlier: "unknown"}, store).isna().all()
    own = history[history["run_id"] == later]
    elsewhere = compare.cpu_seconds_spent(own, {later: earlier}, store)  # the first as one of another experiment
    assert elsewhere.tolist() == compare.cpu_seconds_spent(history, initial, store)[own.index].tolist()
    shutil.copy(first / "model.keras", "alone.keras")
    for path, known in (("first/train/model.keras", earlier), ("alone.keras", ranking.UNKNOWN)):
        run("epochs=1", f"initial_weights={path}", "seed=7", output=f"from_{known}")
        assert ranking.row(runs()[0])["earlier_run_ids"] == known
    shutil.copytree(f"from_{ranking.UNKNOWN}/train", "first/train", dirs_exist_ok=True)
    run(*still, output="second")
    assert len(runs()) == 5, "other weights under the same name are another run"


def test_teachers_are_noted_as_runs_that_it_learned_from(project):
    run("epochs=1", "seed=1", output="teacher")
    taught = run("epochs=1", "teacher=[teacher,teacher/train/model.keras]", "teacher_share=1", output="taught")
    teacher_id, taught_id = (
        json.loads((Path(each) / "run.json").read_text())["run_id"] for each in ("teacher/train", taught)
    )
    assert ranking.row(runs()[0])["run_id"] == taught_id
    assert ranking.row(runs()[0])["earlier_run_ids"] == f"{teacher_id} {teacher_id}"
    shutil.copy("teacher/train/model.keras", "alone.keras")
    run("epochs=1", "teacher=[teacher,alone.keras]", "initial_weights=teacher", output="both")
    assert ranking.row(runs()[0])["earlier_run_ids"] == f"{teacher_id} {ranking.UNKNOWN}"


def test_that_a_teacher_may_have_seen_valid_or_test_is_noted_where_ranking_and_evaluation_look(trained, caplog):
    file = trained / "train/run.json"
    about = json.loads(file.read_text())
    assert "caution" not in about
    others = {"made_from": "another cleaning", "train_digest": "another train", "test_digest": "another test"}
    file.write_text(json.dumps(about | others))
    taught = run("epochs=1", f"teacher={trained}", "seed=3", output="taught")
    said = json.loads((taught / "run.json").read_text())["caution"]
    assert "out was trained beside other images" in said and said in caplog.text
    assert ranking.row(runs()[0])["caution"] == said


@pytest.mark.parametrize("augmented", ["true", "false"])
def test_a_teacher_is_followed_where_it_contradicts_every_label(project, augmented):
    arrays = read_arrays("data/resized/rgb", "sample")
    train_images, labels = np.asarray(arrays.split("train").images), arrays.split("train").labels
    size, channels = arrays.size, arrays.channels
    image = keras.Input((size, size, channels), dtype="uint8")
    scores = keras.layers.Flatten()(keras.layers.Rescaling(0)(image))
    said = keras.layers.Dense(7, activation="softmax", kernel_initializer="zeros", bias_initializer="zeros")(scores)
    always = keras.Model(image, said)
    always.layers[-1].set_weights([np.zeros(always.layers[-1].kernel.shape), np.array([0, 0, 0, 0, 0, 0, 9.0])])
    models.save(always, "always.keras")
    taught = ["teacher=[always.keras,always.keras]", "teacher_share=1", f"teacher_augmented={augmented}"]
    folder = run(*taught, "augment=strong", "epochs=6")
    answers = models.load(folder / "model.keras").predict(train_images, verbose=0).argmax(1)
    assert (answers == 6).mean() > 0.9 > (labels == 6).mean() * 2
    assert keras.saving.load_model(folder / "model.keras").__class__.__name__ != "Trained"


@pytest.mark.parametrize("share", ["-0.1", "1.5", "half", "null"])
def test_a_teachers_share_that_is_none_is_named(project, share):
    with pytest.raises(UserError, match=r"teacher_share=.*: expected a number, from 0 to 1"):
        run(f"teacher_share={share}")


def test_row_18_a_loss_that_is_not_finite_fails_the_run_and_names_the_epoch(project):
    with pytest.raises(UserError, match=r"loss became .* in epoch 1; lower optimizer.build.learning_rate"):
        run("optimizer.build.learning_rate=1e38")
    (failed,) = runs("FAILED")
    assert "epoch 1" in failed.data.tags["error"]
    assert not runs()
    assert not Path("out").exists()


def test_images_that_are_made_anew_while_a_training_waits_are_not_trained_as_those_of_before(project, monkeypatch):
    @contextmanager
    def waited(path, waiting=""):
        if "checkpoints" in str(path):
            shutil.rmtree("data/resized/rgb")
            write_arrays(Path("data/resized/rgb"), seed=1)
        with locked(path, waiting):
            yield

    locked = train.locked
    monkeypatch.setattr(train, "locked", waited)
    with pytest.raises(UserError, match=r"data/resized/rgb: was made of other images while this waited; run the same"):
        run()
    assert not runs() and not Path("out").exists()


@pytest.mark.parametrize("key", ["initial_weights", "teacher"])
def test_an_earlier_model_that_cannot_be_looked_at_is_one_line(project, key):
    with pytest.raises(UserError, match=r"can't be read \(File name too long\); grant access to it, or mend the path"):
        run(f"{key}={300 * 'x'}")


def test_row_21_the_same_seed_with_the_deterministic_flag_gives_equal_weights_and_history(project):
    def weights(folder: Path) -> list[np.ndarray]:
        return models.load(folder / "model.keras").get_weights()

    dropout = "model.build.layers=[{conv: 4},norm,{dropout: 0.5},flatten]"
    first = run("deterministic=true", dropout, output="a")
    second = run("deterministic=true", dropout, "rerun=true", output="b")
    other = run("deterministic=true", dropout, "seed=1", output="c")
    assert (first / "history.csv").read_text() == (second / "history.csv").read_text()
    assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    assert (first / "history.csv").read_text() != (other / "history.csv").read_text()


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipeline.train", *TINY, "output=out", *overrides]
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)


def wait_for(pattern: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200  # the machine may be busy
    while not list(Path().glob(pattern)):
        assert process.poll() is None and time.monotonic() < deadline, f"no {pattern}"
        time.sleep(0.01)


# Long enough to be cut in the middle; dropout, momentum, rate and averages must be restored as well as weights.
CUT = (
    "epochs=8",
    "deterministic=true",
    "optimizer=sgd_cosine",
    "optimizer.build.ema_momentum=0.9",
    "optimizer.build.learning_rate=0.02",
    "model.build.layers=[{conv: 4},norm,{dropout: 0.5},flatten]",
)


def test_row_15_and_row_30_a_killed_training_resumes_and_ends_with_the_uninterrupted_history(project, tmp_path):
    process = start(project, *CUT)
    wait_for("checkpoints/*/*/epoch_0000[3-8]", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(runs("RUNNING")) == 1
    open_store("mlruns", "sample", create=True).reap()
    assert len(runs("KILLED")) == 1  # row 30
    resumed = run(*CUT)
    (finished,) = runs()
    assert not runs("KILLED") and not runs("RUNNING")  # the same run went on
    client = open_store("mlruns", "sample", create=True).client
    steps = [point.step for point in client.get_metric_history(finished.info.run_id, "val_accuracy")]
    assert sorted(steps) == list(range(1, 9))
    uninterrupted = run(*CUT, "rerun=true", output="whole")
    for name in ("history.csv", "model.keras"):
        assert (resumed / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_in_bfloat16_it_resumes_alike_and_leaves_a_float32_model_of_which_the_history_is_true(
    project, monkeypatch, caplog
):
    def cut_off(model, checkpoints, store, run_id, state: State) -> None:
        checkpoints.save(model, state, run_id)
        if state.epoch == 3:
            sys.exit(143)

    low = (*CUT, "precision=mixed_bfloat16")
    with monkeypatch.context() as patch:
        patch.setattr(train, "_epoch_done", cut_off)
        with pytest.raises(SystemExit):
            run(*low)
    caplog.set_level("INFO")
    resumed = run(*low)
    assert "resumed after epoch 3 of 8" in caplog.text
    uninterrupted = run(*low, "rerun=true", output="whole")
    for name in ("history.csv", "model.keras"):
        assert (resumed / name).read_bytes() == (uninterrupted / name).read_bytes()
    model, history = models.load(resumed / "model.keras"), pd.read_csv(resumed / "history.csv")
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
    assert {str(each.dtype) for each in model.weights} == {"float32"}
    valid = read_arrays("data/resized/rgb", "sample").split("valid")
    said = model.predict(np.asarray(valid.images), verbose=0)
    best = history.loc[history["val_accuracy"].idxmax()]
    assert np.mean(said.argmax(1) == valid.labels) == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert -np.log(said[np.arange(len(said)), valid.labels]).mean() == pytest.approx(best["val_loss"], rel=1e-5)
    assert history["loss"].tolist() != pd.read_csv(run(*CUT, output="float32") / "history.csv")["loss"].tolist()


@pytest.mark.parametrize("augmented", ["true", "false"])
def test_in_bfloat16_it_goes_on_from_and_learns_from_an_earlier_run(trained, augmented):
    earlier = ("initial_weights=out", "teacher=out", f"teacher_augmented={augmented}", "balance=even_sampling")
    taught = run(*earlier, "epochs=1", "precision=mixed_bfloat16", "label_smoothing=0.1", output="taught")
    assert {str(each.dtype) for each in models.load(taught / "model.keras").weights} == {"float32"}
    assert len(runs()) == 2


@pytest.mark.parametrize(
    ("said", "gpus", "warned"),
    [
        (b"flags : avx2 avx512_bf16", 0, False),
        (b"flags : avx2", 0, True),
        (b"flags : avx2", 1, False),
        (None, 0, False),
    ],
)
def test_a_processor_that_names_nothing_with_bfloat16_is_said_to_be_slow_in_it(monkeypatch, said, gpus, warned):
    monkeypatch.setattr(train.tf.config, "list_physical_devices", lambda _: ["one"] * gpus)
    monkeypatch.setattr(Path, "exists", lambda _: said is not None)
    monkeypatch.setattr(Path, "read_bytes", lambda _: said)
    assert train._without_bfloat16() is warned


def test_row_22_cut_off_under_other_code_it_begins_anew_and_says_so(project, monkeypatch, caplog):
    with monkeypatch.context() as other:
        other.setattr(checkpoint, "code", lambda _: "of another version")
        other.setattr(Checkpoints, "remove", lambda self: sys.exit(143))  # cut off when all epochs are done
        with pytest.raises(SystemExit):
            run()
    caplog.set_level("INFO")
    run("rerun=true")
    assert "was cut off under other code, Keras or TensorFlow; begins anew" in caplog.text
    assert "resumed after" not in caplog.text
    assert not list(project.glob("checkpoints/*/"))


OWN = """
import keras
import bends_of_mine

def net(size, channels, **others):
    image = keras.Input((size, size, channels))
    x = keras.layers.Conv2D(4, 3, activation=bends_of_mine.BEND or "ACTIVATION")(image)
    return keras.Model(image, keras.layers.Dense(7, "softmax")(keras.layers.Flatten()(x)))
"""


def test_an_architecture_of_ones_own_that_was_edited_is_another_run_and_an_equal_one_the_same(project, monkeypatch):
    monkeypatch.syspath_prepend(project)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which may be as old as the edit
    for activation in ("relu", "tanh", "relu", "tanh"):
        Path("nets_of_mine.py").write_text(OWN)
        Path("bends_of_mine.py").write_text(f"BEND = {activation!r}")
        Path("nothing_of_it.py").write_text(f"# {len(runs())}")
        for name in ("nets_of_mine", "bends_of_mine"):
            sys.modules.pop(name, None)
        run("epochs=1", "model.build._target_=nets_of_mine.net")
    assert len(runs()) == 2
    for name in ("nets_of_mine", "bends_of_mine"):
        sys.modules.pop(name)


@pytest.mark.parametrize("edited", ["the file of the function", "one that it imports"])
def test_row_22_cut_off_and_its_own_architecture_edited_it_begins_anew(project, monkeypatch, caplog, edited):
    monkeypatch.syspath_prepend(project)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which may be as old as the edit
    caplog.set_level("INFO")

    def with_own(activation: str) -> None:
        here = edited == "the file of the function"
        Path("nets_of_mine.py").write_text(OWN.replace("ACTIVATION", activation if here else ""))
        Path("bends_of_mine.py").write_text(f"BEND = {'' if here else activation!r}")
        for name in ("nets_of_mine", "bends_of_mine"):
            sys.modules.pop(name, None)
        run("epochs=1", "model.build._target_=nets_of_mine.net")

    with monkeypatch.context() as other:
        other.setattr(Checkpoints, "remove", lambda self: sys.exit(143))  # cut off when all epochs are done
        with pytest.raises(SystemExit):
            with_own("relu")
    open_store("mlruns", "sample", create=True).client.set_terminated(runs()[0].info.run_id, "KILLED")
    with_own("tanh")  # of the same shapes
    assert "begins anew" in caplog.text and "resumed after" not in caplog.text
    saved = keras.saving.load_model("out/train/model.keras")
    assert saved.layers[1].activation is keras.activations.tanh
    for name in ("nets_of_mine", "bends_of_mine"):
        sys.modules.pop(name)


def test_an_architecture_that_is_not_there_is_named_before_any_work(project):
    with pytest.raises(UserError, match=r"^model=model_2_best: build._target_=nets_of_mine.net: ModuleNotFoundError"):
        run("model.build._target_=nets_of_mine.net")
    assert not runs("FAILED")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import not_installed_here", "ModuleNotFoundError: No module named 'not_installed_here'"),
        ("def net(:", r"SyntaxError: invalid syntax \(nets_of_mine.py, line 1\)"),
        ("def net(size): raise ValueError('too small')", "TypeError: net.. got an unexpected keyword argument"),
    ],
)
def test_what_is_wrong_with_a_file_of_ones_own_is_said(project, monkeypatch, content, said):
    monkeypatch.syspath_prepend(project)
    Path("nets_of_mine.py").write_text(content)
    sys.modules.pop("nets_of_mine", None)
    with pytest.raises(UserError, match=rf"^model=model_2_best: build._target_=nets_of_mine.net: {said}"):
        run("model.build._target_=nets_of_mine.net")
    sys.modules.pop("nets_of_mine", None)


def test_what_python_has_built_in_is_no_architecture(project):
    with pytest.raises(UserError, match=r"^model=model_2_best: builtins.dict returns dict; expected a keras.Model"):
        run("model.build._target_=builtins.dict")


def test_an_optimizer_of_ones_own_that_was_edited_is_another_run(project, monkeypatch):
    monkeypatch.syspath_prepend(project)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which may be as old as the edit
    for momentum in (0.5, 0.9, 0.5):
        Path("steps_of_mine.py").write_text(
            "import keras\n\ndef steps(learning_rate, **others):\n"
            f"    return keras.optimizers.SGD(learning_rate, momentum={momentum})\n"
        )
        sys.modules.pop("steps_of_mine", None)
        run("epochs=1", "optimizer.build._target_=steps_of_mine.steps")
    assert len(runs()) == 2
    sys.modules.pop("steps_of_mine")


def test_a_run_that_finished_under_other_code_is_said_to_have(project, monkeypatch, caplog):
    caplog.set_level("INFO")
    run("epochs=1")
    run("epochs=1")
    assert "finished already as MLflow run" in caplog.text and "under other code" not in caplog.text
    monkeypatch.setattr(keras, "__version__", "0.0.1")
    run("epochs=1")
    assert "finished already under other code, Keras or TensorFlow as MLflow run" in caplog.text


def test_killed_after_the_end_a_rerun_begins_anew(project, monkeypatch):
    roots = []
    with monkeypatch.context() as watched:
        watched.setattr(Checkpoints, "remove", lambda self: roots.append(self.root))
        run(*CUT[1:])
    (finished,) = runs()
    checkpoints = Checkpoints(roots[0], finished.data.tags["config_hash"], "")
    checkpoints.remove()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd")
    checkpoints.save(model, State(2, [], []), finished.info.run_id)
    run(*CUT[1:], "rerun=true")
    assert len(runs()) == 2


def test_row_17_sigterm_keeps_the_checkpoint_and_marks_the_run_killed(project, monkeypatch, capfd):
    def terminate(self, *arguments):
        save(self, *arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", terminate)
    assert shell(monkeypatch, capfd, "train", *TINY, *CUT, "output=out")[0] == 143
    (killed,) = runs("KILLED")
    command, commit = shlex.split(killed.data.tags["command"]), killed.data.tags["git_commit"]
    assert command == ["python", "-m", "pipeline.train", *TINY, *CUT], "what makes it again, wherever it writes"
    assert config_hash(identity(composed("train", *command[3:]))) == killed.data.tags["config_hash"]
    assert commit == tracking.git_commit(), "that of the code, wherever it is started"
    assert list(project.glob("checkpoints/*/*/epoch_*"))
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=0", "epochs=0: expected a whole number, at least 1"),
        ("batch_size=x", "batch_size=x: expected a whole number, at least 1"),
        ("seed=-1", "seed=-1: expected a whole number, from 0"),
        ("data=own", "holds the data set 'sample', but data=own was asked for"),
    ],
)
def test_a_wrong_value_is_named_before_any_work(project, override, message):
    with pytest.raises(UserError, match=message):
        run(override)
    assert not runs("RUNNING") and not runs("FAILED")
