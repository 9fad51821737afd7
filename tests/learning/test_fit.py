"""What is kept after an epoch."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.learning.checkpoint import State
from pipeline.learning.fit import _Epochs
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
