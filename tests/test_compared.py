"""What compare makes of a ranking in which more was swept than the choices it knows by name."""

import numpy as np
import pandas as pd
import pytest
from conftest import composed
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag
from tracked import PARAMS, TAGS

from pipeline import compare
from pipeline.reporting import histories, ranking
from pipeline.running import tracking

CHOICES = list(composed("compare").choices)
RATE = "optimizer.build.learning_rate"


def ranked(*runs: tuple[float, dict[str, str]]) -> pd.DataFrame:
    """The ranking of FINISHED runs, each an accuracy and the parameters that are not everyone's."""
    rows = []
    for number, (accuracy, own) in enumerate(runs):
        params = PARAMS | own
        tags = TAGS | {"config_hash": f"{number}" * 64, "train_digest": params["channels.name"]}
        tags |= {"image_size": own.get("image_size", "48")}
        data = RunData(
            [Metric("best_val_accuracy", accuracy, 0, 0), Metric("best_epoch", 1, 0, 0)],
            [Param(*item) for item in params.items()],
            [RunTag(*item) for item in tags.items()],
        )
        name = f"m_{params['channels.name']}_8"
        rows.append(ranking.row(Run(RunInfo(str(number), "1", "u", "FINISHED", 0, 0, "active", run_name=name), data)))
    return ranking.ranked(rows)[0]


def tables(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    columns = dict.fromkeys((*histories.MEASURES, "spent"), np.nan)
    history = pd.DataFrame({"run_id": table["run_id"], "epoch": 1} | columns)
    return compare.compared(table, history, CHOICES, 0.95)


def figures(table: pd.DataFrame, history: pd.DataFrame) -> dict:
    cfg = composed("compare")
    table = table.assign(low=table["best_val_accuracy"], high=table["best_val_accuracy"])
    return dict(compare.figures(table, history, compare.compared(table, history, CHOICES, 0.95), cfg))


def lines(figure) -> list[list[float]]:
    """What the lines of a figure's first axes are at, without those of a legend."""
    return [list(line.get_ydata()) for line in figure.axes[0].lines if len(line.get_xdata())]


def channels(name: str, **own: str) -> dict[str, str]:
    return {"channels.name": name, "channels.count": {"rgb": "3", "grayscale": "1"}[name]} | own


def test_a_pair_differs_in_the_channels_alone():
    found = tables(
        ranked(
            (0.9, channels("rgb", **{RATE: "0.1"})),
            (0.5, channels("rgb", **{RATE: "0.01"})),
            (0.6, channels("grayscale", **{RATE: "0.1"})),
            (0.8, channels("grayscale", **{RATE: "0.01"})),
            (0.99, channels("rgb", **{RATE: "0.01", "label_smoothing": "0.1"})),  # has no partner
        )
    )
    pairs = found["rgb_vs_grayscale_pairs"]
    differences = pairs["best_val_accuracy_rgb"] - pairs["best_val_accuracy_grayscale"]
    assert differences.tolist() == pytest.approx([0.3, -0.3])
    assert pairs["label_rgb"].tolist() == ["m_rgb_8-00000000", "m_rgb_8-11111111"]
    assert found["rgb_vs_grayscale"].loc[0, "mean"] == pytest.approx(0)


def test_an_optimizer_that_was_given_more_epochs_is_not_said_to_be_the_better_one():
    runs = []
    for optimizer, epochs, more in (("adam", "4", 0), ("sgd", "50", 0.15)):
        for number, model in enumerate("abc"):
            own = {"optimizer.name": optimizer, "epochs": epochs, "model.name": model}
            runs.append((0.5 + more + 0.01 * number + 0.001 * len(runs) % 0.003, own))
    found = tables(ranked(*runs))["main_effects"].set_index(["choice", "value"])
    assert found.loc["epochs"].index.tolist() == [4, 50]
    assert found["p_value"].isna().all()


def test_runs_on_images_of_another_size_are_no_pair_and_are_told_apart_by_it():
    small, large = ({"image_size": size} for size in ("48", "64"))
    table = ranked((0.9, channels("rgb", **small)), (0.6, channels("grayscale", **large)))
    assert "rgb_vs_grayscale" not in tables(table)
    table = ranked((0.9, small), (0.6, large))
    assert table["label"].tolist() == ["m_rgb_8, image_size=48", "m_rgb_8, image_size=64"]


def test_runs_without_a_partner_are_no_pair():
    runs = ((0.9, channels("rgb", **{RATE: "0.1"})), (0.6, channels("grayscale", **{RATE: "0.01"})))
    assert "rgb_vs_grayscale" not in tables(ranked(*runs))


def test_of_several_seeds_the_figures_show_the_mean_as_the_ranking_does():
    """One seed is best in its first epoch, the other in its second: the best of the means is not the ranked figure."""
    table = ranked((0.9, {"seed": "0"}), (0.5, {"seed": "1"}), (0.6, {"model.name": "y"}))
    assert table["run_ids"].tolist() == ["0 1", "2"]
    reached = {"0": (0.9, 0.4), "1": (0.1, 0.5), "2": (0.5, 0.6)}
    rows = [
        {"run_id": run, "epoch": epoch, "val_accuracy": value, "spent": 60 * epoch * (int(run) + 1)}
        for run, values in reached.items()
        for epoch, value in enumerate(values, 1)
    ]
    history = pd.DataFrame(rows, columns=["run_id", "epoch", *histories.MEASURES, "spent"]).astype({"spent": float})
    means = compare.by_entry(table, history)
    of_seeds = means[means["run_id"] == "0"]
    assert of_seeds["val_accuracy"].tolist() == pytest.approx([0.5, 0.45])
    assert of_seeds["best"].tolist() == pytest.approx([0.5, 0.7]) and table["best_val_accuracy"][0] == pytest.approx(
        0.7
    )
    assert of_seeds["spent"].tolist() == [90, 180]
    per_run = compare.per_run(table, history)
    assert per_run["highest_val_accuracy"].tolist() == pytest.approx([0.7, 0.6])
    assert per_run["cpu_seconds"].tolist() == [180, 360]
    drawn = figures(table, history)
    assert lines(drawn["cost"]) == [pytest.approx([0.5, 0.7]), pytest.approx([0.5, 0.6])]
    assert lines(drawn["curves_m_rgb"]) == [pytest.approx([0.5, 0.45])]
    assert drawn["heatmap"].axes[0].images[0].get_array().ravel().tolist() == pytest.approx([0.5, 0.45, 0.5, 0.6])
    history.loc[(history["run_id"] == "1") & (history["epoch"] == 2), "spent"] = np.nan
    assert compare.per_run(table, history)["cpu_seconds"].isna().tolist() == [True, False]
    assert lines(figures(table, history)["cost"]) == [pytest.approx([0.5, 0.6])]


def test_of_a_run_that_loss_chose_the_accuracy_is_that_of_its_least_loss_so_far():
    table = ranked((0.5, {"monitor": "val_loss"}))
    rows = [
        {"run_id": "0", "epoch": epoch, "val_accuracy": accuracy, "val_loss": loss, "spent": 60.0}
        for epoch, (accuracy, loss) in enumerate([(0.4, 1.5), (0.5, 1.2), (0.58, 1.9), (0.57, 1.2)], 1)
    ]
    means = compare.by_entry(table, pd.DataFrame(rows, columns=["run_id", "epoch", *histories.MEASURES, "spent"]))
    assert means["best"].tolist() == [0.4, 0.5, 0.5, 0.5]


@pytest.fixture
def store(tmp_path, monkeypatch) -> tracking.Store:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tracking.open_store(tmp_path, "own", create=True)


def timed(store: tracking.Store, *seconds: float, **earlier: str) -> str:
    """The id of a run with processor seconds by epoch; `earlier` are the tags that name the runs it began with."""
    choices = {"initial_run_ids": "initial_weights", "teacher_run_ids": "teacher"}
    run_id = store.start(
        "run", {choices[tag]: "a path" for tag in earlier}, {tag: ids for tag, ids in earlier.items() if ids}
    )
    store.log_curves(run_id, {"epoch_cpu_seconds": seconds})
    return run_id


def test_the_time_of_teachers_counts_and_that_of_each_run_once(store):
    first, other = timed(store, 1, 2), timed(store, 10)
    second = timed(store, 100, initial_run_ids=first, teacher_run_ids=first)
    third = timed(store, 1000, 2000, initial_run_ids=second, teacher_run_ids=f"{second} {other} {first}")
    runs = {each: ranking.earlier_runs(store.run(each)) for each in (first, second, third)}

    def spent(run_id: str, known: dict[str, str] = runs) -> list[float]:
        return compare.cpu_seconds_spent(histories.read(store, [run_id]), known, store).tolist()

    assert spent(first) == [1, 3]
    assert spent(second) == [103]
    assert spent(third) == [1113, 3113]
    assert spent(third, {third: runs[third]}) == [1113, 3113], "the others as runs of another experiment"


def test_a_time_is_not_known_where_that_of_a_teacher_is_not(store):
    first = timed(store, 1)
    untimed, of_no_run = timed(store), timed(store, 1, initial_run_ids=first, teacher_run_ids="")
    runs = {
        of_no_run: f"{first} {ranking.UNKNOWN}",
        timed(store, 1, teacher_run_ids=of_no_run): of_no_run,
        timed(store, 1, teacher_run_ids=f"{first} {untimed}"): f"{first} {untimed}",
        timed(store, 1, teacher_run_ids="elsewhere"): "elsewhere",
    }
    assert {each: ranking.earlier_runs(store.run(each)) for each in runs} == runs
    assert compare.cpu_seconds_spent(histories.read(store, list(runs)), runs, store).isna().all()
