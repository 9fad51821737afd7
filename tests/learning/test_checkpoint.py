"""A checkpoint is used only when it is whole and of the same config; else the one before it."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.learning import checkpoint
from pipeline.learning.checkpoint import Checkpoints, State
from pipeline.running.errors import UserError

OWN = "digest of somebody's own code"


def model() -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    model.compile("adam", "mse")
    return model


def trained(epochs: int) -> keras.Model:
    made = model()
    for _ in range(epochs):
        made.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    return made


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory) -> Path:
    checkpoints, made = Checkpoints(tmp_path_factory.mktemp("saved") / "run", "hash", OWN), model()
    for epoch in (1, 2, 3):
        made.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
        state = State(epoch, [{"epoch": e} for e in range(1, epoch + 1)], [np.full(3, epoch)])
        checkpoints.save(made, state, "run id")
    return checkpoints.root


@pytest.fixture
def saved(saved_once, tmp_path) -> Checkpoints:
    shutil.copytree(saved_once, tmp_path / "run")
    return Checkpoints(tmp_path / "run", "hash", OWN)


def test_everything_is_restored_optimizer_and_dropout_seed_too(tmp_path):
    checkpoints, before, after = Checkpoints(tmp_path / "run", "hash", OWN), trained(2), model()
    checkpoints.save(before, State(2, [{"epoch": 1}, {"epoch": 2}], before.get_weights()), "run id")
    state = checkpoints.restore(after)
    assert (state.epoch, checkpoints.run_id(), len(state.history)) == (2, "run id", 2)
    pairs = zip(before.variables + before.optimizer.variables, after.variables + after.optimizer.variables, strict=True)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


def test_only_the_newest_two_are_kept(saved):
    assert sorted(path.name for path in saved.folder.iterdir()) == ["epoch_00002", "epoch_00003"]


@pytest.mark.parametrize("file", ["model.npz", "optimizer.npz", "best.npz", "checkpoint.json"])
def test_row_16_a_truncated_checkpoint_gives_way_to_the_previous_one_and_is_named(saved, file, caplog):
    path = saved.folder / "epoch_00003" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    state = saved.restore(model())
    assert state.epoch == 2
    assert state.best[0][0] == 2
    assert saved.run_id() == "run id"
    assert caplog.text.count(f"{path.parent}: cut short, altered or of another config; not used") == 1


def test_a_checkpoint_that_may_not_be_read_is_named_instead_of_begun_anew(saved, monkeypatch):
    def closed(file):  # root may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint, "sha256", closed)
    with pytest.raises(UserError, match=r"epoch_00003: can't be read \(Permission denied\); grant access to it"):
        saved.run_id()


def test_row_16_a_checkpoint_killed_while_it_was_written_is_not_seen(saved):
    (saved.folder / ".epoch_00004.1.partial").mkdir()
    assert saved.restore(model()).epoch == 3


def test_row_22_a_checkpoint_of_another_config_is_refused(saved):
    assert Checkpoints(saved.root, "another hash", OWN).restore(model()) is None


def test_without_a_checkpoint_nothing_is_restored(tmp_path):
    assert Checkpoints(tmp_path / "none", "hash", OWN).restore(model()) is None


@pytest.mark.parametrize("changed", [keras, tf, None])
def test_row_22_a_checkpoint_of_another_keras_tensorflow_or_own_code_is_not_used(saved, monkeypatch, changed):
    if changed:
        monkeypatch.setattr(changed, "__version__", "0.0.1")
    later = Checkpoints(saved.root, "hash", OWN if changed else "of edited code")
    assert later.restore(model()) is None and later.of_other_code()
    monkeypatch.undo()
    assert Checkpoints(saved.root, "hash", OWN).restore(model()).epoch == 3


def test_row_22_a_checkpoint_of_other_code_of_this_package_is_not_used(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PACKAGE", tmp_path / "learning")
    shutil.copytree(Path(checkpoint.__file__).parent, checkpoint.PACKAGE)
    assert Checkpoints(saved.root, "hash", OWN).restore(model()).epoch == 3
    with (checkpoint.PACKAGE / "augment.py").open("a") as file:
        file.write("#\n")
    later = Checkpoints(saved.root, "hash", OWN)
    assert later.restore(model()) is None and later.of_other_code()
