"""What is kept after an epoch."""

from types import SimpleNamespace

import numpy as np

from pipeline.learning.checkpoint import State
from pipeline.learning.fit import _Epochs
from pipeline.train import summary


def test_of_equally_good_epochs_the_first_is_kept_and_is_the_one_that_is_named():
    state, told = State(0, [], []), []
    epochs = _Epochs(state, lambda state: told.append((state.epoch, state.best[0].item())))
    for epoch, accuracy in enumerate((0.3, 0.5, 0.5)):
        weights = [np.array(epoch + 1)]
        epochs.set_model(
            SimpleNamespace(get_weights=lambda weights=weights: weights, optimizer=SimpleNamespace(learning_rate=0.1))
        )
        epochs.on_epoch_begin(epoch)
        epochs.on_test_end()
        epochs.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": 1.0})
    assert told == [(1, 1), (2, 2), (3, 2)]
    assert summary(state)["best_epoch"] == state.best[0] == 2
