"""Figures over many runs show what the tables hold."""

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pipeline.reporting import study_plots


@pytest.mark.parametrize(
    ("top", "bottom", "title"),
    [
        (10, 5, "All 5 entries"),
        (3, 5, "Top 3 and bottom 2 of 5 entries"),
        (2, 1, "Top 2 and bottom 1 of 5 entries"),
        (2, 0, "Top 2 of 5 entries"),
    ],
)
def test_top_and_bottom_says_of_how_many_it_shows_which(top, bottom, title):
    table = pd.DataFrame({"rank": range(1, 6), "label": list("abcde"), "best_val_accuracy": [0.9, 0.8, 0.7, 0.6, 0.5]})
    table["low"], table["high"] = table["best_val_accuracy"] - 0.05, table["best_val_accuracy"] + 0.05
    (axes,) = study_plots.top_and_bottom(table, top, bottom, 0.9).axes
    assert axes.get_title() == title
    assert axes.get_xlabel().endswith("with its 90 % interval")


def test_a_histogram_of_one_accuracy_ends_where_shares_do():
    for accuracy in (0.3, 0.01, 1.0):
        (axes,) = study_plots.histogram(pd.Series([accuracy]), 20).axes
        edges = [edge for bar in axes.patches for edge in (bar.get_x(), bar.get_x() + bar.get_width())]
        assert 0 <= min(edges) <= accuracy <= max(edges) <= 1 + 1e-9


def test_however_many_models_there_are_each_has_a_colour_of_its_own():
    names = [f"m{number:02}" for number in range(24)]
    history = pd.DataFrame({"run_id": names, "model": names, "epoch": 1, "best": 0.5, "spent": 60.0})
    (axes,) = study_plots.cost(history).axes
    assert len({line.get_color() for line in axes.get_legend().get_lines()}) == 24


def test_cost_is_the_best_so_far_against_the_minutes_spent_until_then():
    rows = [("a", "compact", 1, 0.4, 60), ("a", "compact", 2, 0.4, 120), ("a", "compact", 3, 0.5, 240)]
    rows += [("b", "model_2_best", 2, 0.2, 600), ("b", "model_2_best", 1, 0.1, 300)]
    history = pd.DataFrame(rows, columns=["run_id", "model", "epoch", "best", "spent"])
    (axes,) = study_plots.cost(history).axes
    lines = {tuple(line.get_xdata()): list(line.get_ydata()) for line in axes.lines if len(line.get_xdata())}
    assert lines == {(1, 2, 4): pytest.approx([0.4, 0.4, 0.5]), (5, 10): pytest.approx([0.1, 0.2])}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["compact", "model_2_best"]
    assert len({line.get_color() for line in axes.lines}) == 2


def test_a_training_of_one_epoch_can_be_seen_beside_a_long_one():
    long = pd.DataFrame({"run_id": "a", "epoch": range(1, 201), "val_accuracy": 0.6, "val_loss": 1.2})
    short = pd.DataFrame({"run_id": "b", "epoch": [1], "val_accuracy": [0.2], "val_loss": [1.9]})
    history = pd.concat([long, short]).assign(model="m", optimizer="sgd", channels="rgb", batch_size=8)
    ((_, figure),) = study_plots.learning_grids(history)
    for axes, value in zip(figure.axes, (0.2, 1.9), strict=True):
        lines = {len(line.get_xdata()): line for line in axes.lines}
        assert (lines[1].get_marker(), lines[200].get_marker()) == (".", "None")
        low, high = axes.get_ylim()
        assert low < value < high


def test_the_label_of_effects_has_room_beside_long_names():
    names = ["model_1_concept", "model_4_best_nodropout_nobatchn"]
    table = pd.DataFrame({"choice": "model", "value": names, "runs": 24, "effect": [0.02, -0.02]})
    table["low"], table["high"] = table["effect"] - 0.01, table["effect"] + 0.01
    figure = study_plots.effects(table)
    FigureCanvasAgg(figure).draw()
    box = figure.axes[0].xaxis.label.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
