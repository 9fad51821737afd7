import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import composed
from omegaconf import OmegaConf
from published import figures, file_name, history, write_histories

from pipeline import import_histories
from pipeline.running import tracking
from pipeline.running.errors import UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three published histories: a usual one, one with the study's spelling of its model, a balanced one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = figures()
    some = [
        runs[runs["data"] == "balanced"],
        *(runs[runs["model"].str.startswith(f"model_{n}")].tail(1) for n in (1, 4)),
    ]
    return write_histories(tmp_path / "histories", pd.concat(some))


def imported(folder: Path) -> list:
    import_histories.main(composed("import_histories", f"folder={folder}"))
    return tracking.open_store("mlruns", "published", create=True).finished({})


def test_a_history_becomes_a_finished_run_with_every_epoch(folder):
    runs = imported(folder)
    assert len(runs) == 3
    client = tracking.open_store("mlruns", "published", create=True).client
    files = {import_histories.summarise(content)["best_val_accuracy"]: content for content in contents(folder)}
    for run in runs:
        content = files[run.data.metrics["best_val_accuracy"]]
        for measure in import_histories.MEASURES:
            logged = client.get_metric_history(run.info.run_id, measure)
            assert [(metric.step, metric.value) for metric in logged] == list(enumerate(content[measure], 1))
        best = content["val_accuracy"].index(max(content["val_accuracy"])) + 1
        assert run.data.metrics["best_epoch"] == best


def contents(folder: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in folder.iterdir()]


def test_names_are_the_projects_own(folder):
    names = {run.info.run_name: run.data.params for run in imported(folder)}
    assert {name for name in names if name.startswith("model_4")}.pop().startswith("model_4_best_nodropout_nobatchn_")
    assert names["model_2_best_sgd_rgb_128_balanced_1"] == {
        "model.name": "model_2_best",
        "optimizer.name": "sgd",
        "channels.name": "rgb",
        "batch_size": "128",
        "epochs": "50",
        "augment.name": "unknown",
        "balance.name": "balanced_1",
        "data.name": "mmafedb",
    }


def test_a_second_import_adds_nothing(folder):
    first = {run.info.run_id for run in imported(folder)}
    assert {run.info.run_id for run in imported(folder)} == first
    store = tracking.open_store("mlruns", "published", create=True)
    for run_id in first:
        store.client.update_run(run_id, name="renamed in MLflow")
    assert {run.info.run_id for run in imported(folder)} == first


def test_an_import_that_was_killed_is_finished_by_the_next(folder, monkeypatch):
    cfg = composed("import_histories", f"folder={folder}")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        write = import_histories.write_run
        calls = iter([write, write])

        def killed(store, run):
            next(calls, interrupt)(store, run)

        def interrupt(store, run):
            raise KeyboardInterrupt

        patch.setattr(import_histories, "write_run", killed)
        import_histories.main(cfg)
    assert len(imported(folder)) == 3


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("model_1_concept_sgd_rgb_8_augment_history.json", "{", "is not JSON"),
        ("model_1_concept_sgd_rgb_8_augment_history.json", "[1]", "expected the lists"),
        ("model_1_concept_sgd_rgb_8_augment_history.json", '{"loss": [1]}', "expected the lists"),
        ("model_1_concept_sgd_rgb_8_augment_history.json", "unequal", "one value per epoch"),
        ("model_1_concept_sgd_rgb_8_augment_history.json", "empty", "one value per epoch"),
        ("model_1_concept_sgd_rgb_8_augment_history.json", "nan", "loss in epoch 2 is nan"),
        ("model_1_concept_sgd_rgb_8_augment_history.json", "above", "val_accuracy in epoch 1 is 1.5"),
        ("model_1_concept_sgd_rgb_8_augment_history.json", "huge", "loss in epoch 1 is 1000000.*0, not a possible"),
        pytest.param("model_1_concept_sgd_rgb_8_augment_history.json", "[" * 100_000, "is not JSON", id="deep"),
        ("model_9_sgd_rgb_8_augment_history.json", "good", "unknown name"),
        ("model_1_concept_sgd_rgb_0_augment_history.json", "good", "unknown name"),
        ("notes.json", "good", "unknown name"),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_imported(folder, name, content, expected):
    good = {measure: [0.5, 0.25] for measure in import_histories.MEASURES}
    variants = {
        "good": good,
        "unequal": good | {"loss": [1.0]},
        "empty": {measure: [] for measure in good},
        "nan": good | {"loss": [0.5, float("nan")]},
        "huge": good | {"loss": [10**400, 0.5]},
        "above": good | {"val_accuracy": [1.5, 0.5]},
    }
    (folder / name).write_text(json.dumps(variants[content]) if content in variants else content)
    with pytest.raises(UserError, match=expected) as raised:
        imported(folder)
    assert name in str(raised.value) and "\n" not in str(raised.value)
    assert not Path("mlruns/mlflow.db").exists()


def test_a_folder_without_histories_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no \.json file"):
        import_histories.main(composed("import_histories", f"folder={tmp_path}"))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "nowhere: not there; name a folder"),
        ("x" * 300, "xx: cannot be read, File name too long; name a folder"),
        ("file", "file: cannot be read, Not a directory; name a folder"),
        (".", r"_history\.json: cannot be read, Is a directory; grant access to it, or take it out"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, path, said):
    (tmp_path / "file").write_text("x")
    (tmp_path / "model_1_concept_sgd_rgb_8_augment_history.json").mkdir()
    with pytest.raises(UserError, match=said):
        import_histories.main(composed("import_histories", f"folder={tmp_path / path}"))


def test_the_command_trains_the_same_choices(tmp_path):
    run = figures().query("model == 'model_3_best_nodropout'").iloc[0]
    file = tmp_path / file_name(run)
    file.write_text(json.dumps(history(run)))
    names = composed("import_histories", f"folder={tmp_path}")
    found = import_histories.read_run(file, OmegaConf.to_container(names, resolve=True))
    overrides = found["tags"]["command"].removeprefix("python -m pipeline.train ").split()
    cfg = composed("train", *overrides)
    assert cfg.model.name == run.model and cfg.optimizer.name == run.optimizer
    assert (cfg.channels.name, cfg.batch_size, cfg.epochs) == (run.channels, run.batch_size, run.epochs)
