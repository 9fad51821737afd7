"""Figures over many runs show what the tables hold."""

import pandas as pd
import pytest

from pipeline.reporting import curves


def test_cost_is_the_best_so_far_against_the_minutes_spent_until_then():
    rows = [("a", "compact", 1, 0.4, 60), ("a", "compact", 2, 0.3, 120), ("a", "compact", 3, 0.5, 240)]
    rows += [("b", "model_2_best", 2, 0.2, 600), ("b", "model_2_best", 1, 0.1, 300)]
    history = pd.DataFrame(rows, columns=["run_id", "model", "epoch", "val_accuracy", "spent"])
    (axes,) = curves.cost(history).axes
    lines = {tuple(line.get_xdata()): list(line.get_ydata()) for line in axes.lines if len(line.get_xdata())}
    assert lines == {(1, 2, 4): pytest.approx([0.4, 0.4, 0.5]), (5, 10): pytest.approx([0.1, 0.2])}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["compact", "model_2_best"]
    assert len({line.get_color() for line in axes.lines}) == 2
