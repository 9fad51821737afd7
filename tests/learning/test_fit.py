"""What the loss is of, and what is kept after an epoch."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import composed, write_arrays

from pipeline.learning.arrays import read_arrays
from pipeline.learning.checkpoint import State
from pipeline.learning.fit import _Epochs, compiled_model
from pipeline.running.config import identity
from pipeline.train import summary


@pytest.mark.parametrize(
    ("monitor", "losses", "kept"),
    [("val_accuracy", (1.0, 1.0, 1.0), [1, 2, 2]), ("val_loss", (0.9, 1.1, 0.8), [1, 1, 3])],
)
def test_what_is_kept_is_of_the_best_epoch_by_what_the_config_says_and_of_the_first_of_equals(monitor, losses, kept):
    state, told = State(0, [], []), []
    epochs = _Epochs(state, monitor, lambda state: told.append((state.epoch, state.best[0].item())))
    for epoch, accuracy in enumerate((0.3, 0.5, 0.5)):
        weights = [np.array(epoch + 1)]
        epochs.set_model(
            SimpleNamespace(get_weights=lambda weights=weights: weights, optimizer=SimpleNamespace(learning_rate=0.1))
        )
        epochs.on_epoch_begin(epoch)
        epochs.on_test_end()
        epochs.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": losses[epoch]})
    assert told == list(enumerate(kept, 1))
    assert summary(state, monitor)["best_epoch"] == state.best[0] == kept[-1]


def test_training_is_on_smoothed_labels_and_valid_on_those_there_are(tmp_path):
    write_arrays(tmp_path / "rgb")
    cfg = composed("train", "model=model_1_concept", "optimizer=adam", "label_smoothing=0.3")
    model = compiled_model(identity(cfg), read_arrays(tmp_path / "rgb", "sample"))
    labels, said = np.eye(7, dtype=np.float32)[[1, 4]], np.array([[0.1] * 6 + [0.4], [0.7] + [0.05] * 6], np.float32)
    for training, smoothing in ((True, 0.3), (False, 0)):
        expected = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)(labels, said)
        assert float(model.compute_loss(None, labels, said, training=training)) == pytest.approx(float(expected))


def test_steps_are_calculated_in_the_precision_asked_for_and_valid_in_float32(tmp_path):
    write_arrays(tmp_path / "rgb")
    arrays = read_arrays(tmp_path / "rgb", "sample")
    images, labels = np.asarray(arrays.split("train").images), np.eye(7, dtype=np.float32)[arrays.split("train").labels]
    loss, asked = [], []
    for precision in ("float32", "mixed_bfloat16"):
        layers = "model.build.layers=[{conv: 4},norm,flatten,{dense: 8}]"
        cfg = composed("train", "model=model_2_best", layers, "optimizer=adam", f"precision={precision}")
        model = compiled_model(identity(cfg), arrays)
        asked.append(model.test_on_batch(images, labels)[0])
        loss.append(model.train_on_batch(images, labels)[0])
        variables = [*model.variables, *model.optimizer.variables]
        assert {str(each.dtype) for each in variables} <= {"float32", "int64"}, "the latter count"
    assert asked[1] == pytest.approx(asked[0], rel=1e-6)
    assert pytest.approx(loss[0], rel=1e-5) != loss[1] == pytest.approx(loss[0], rel=0.02)


def test_in_bfloat16_xla_is_for_gpus(tmp_path, monkeypatch):
    write_arrays(tmp_path / "rgb")
    arrays = read_arrays(tmp_path / "rgb", "sample")

    asked, as_ever = [], keras.Model.compile

    def told(self, *given, jit_compile, **how):
        asked.append(jit_compile)  # Keras itself does without XLA once some test has asked for determinism
        as_ever(self, *given, jit_compile=False, **how)

    monkeypatch.setattr(keras.Model, "compile", told)

    def xla(model: str, precision: str) -> bool:
        cfg = composed("train", f"model={model}", "optimizer=adam", f"precision={precision}")
        compiled_model(identity(cfg), arrays)
        return asked.pop()

    for gpus, expected in (([], False), (["one"], True)):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_, gpus=gpus: gpus)
        assert xla("compact", "float32")
        assert xla("compact", "mixed_bfloat16") is expected
        assert not xla("model_1_concept", "mixed_bfloat16")
