"""Plots over many runs: bars, curves, histogram, heatmap, boxes, effects. Each takes tables and returns a Figure."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pipeline.labels import LABELS
from pipeline.reporting import compare

INK, ACCENT, QUIET = "#1f4e79", "#c1440e", "#9aa5b1"  # told apart also by those who see few colours
TALLEST = 24  # inches


def top_and_bottom(table: pd.DataFrame, top: int, bottom: int, confidence: float) -> Figure:
    """The first and last entries of a ranking as bars with their intervals, columns low and high, of `confidence`."""
    some = pd.concat([table.head(top), table.iloc[top:].tail(bottom)])
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(some)), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(some))
    colours = [INK] * min(top, len(table)) + [QUIET] * (len(some) - min(top, len(table)))
    accuracy = some["best_val_accuracy"]
    error = [accuracy - some["low"], some["high"] - accuracy]
    axes.barh(place, accuracy, color=colours, height=0.7)
    axes.errorbar(accuracy, place, xerr=error, fmt="none", ecolor="black", elinewidth=1, capsize=3)
    for y, (value, high) in enumerate(zip(accuracy, some["high"], strict=True)):
        axes.text(high + 0.005, y, f"{value:.4f}", va="center", fontsize=9)
    axes.set_yticks(place, [f"{row.rank}  {row.label}" for row in some.itertuples()])
    axes.invert_yaxis()
    axes.set(
        xlim=(0, some["high"].max() * 1.12), xlabel=f"best accuracy on valid, with its {100 * confidence:g} % interval"
    )
    last = f" and bottom {len(some) - top}" if len(some) > top else ""
    whole = len(some) == len(table)
    axes.set_title(f"All {len(table)} entries" if whole and not last else f"Top {top}{last} of {len(table)} entries")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def learning_grids(history: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Per model and channel mode: accuracy and loss on valid by epoch, a column per optimizer, a line per entry.

    A batch size has its colour. `history` has a row per entry and epoch with the entry's choices. Yields a name and a
    figure.
    """
    sizes = sorted(history["batch_size"].unique())
    colours = _colours(sizes)
    limits = {
        "val_accuracy": _limits(history["val_accuracy"], history["val_accuracy"].max()),
        # One diverged epoch must not flatten every curve; twice the loss of guessing says enough.
        "val_loss": _limits(history["val_loss"], min(history["val_loss"].max(), 2 * np.log(len(LABELS)))),
    }
    for (model, channels), part in history.groupby(["model", "channels"]):
        optimizers = sorted(part["optimizer"].unique())
        figure = Figure(figsize=(1.5 + 3.3 * len(optimizers), 5.6), layout="constrained")
        grid = figure.subplots(2, len(optimizers), squeeze=False, sharex=True, sharey="row")
        for column, optimizer in enumerate(optimizers):
            for _, run in part[part["optimizer"] == optimizer].groupby("run_id", sort=False):
                look = {"color": colours[run["batch_size"].iloc[0]], "linewidth": 1.2, "marker": _marker(run)}
                for axes, measure in zip(grid[:, column], limits, strict=True):
                    axes.plot(run["epoch"], run[measure], **look)
            grid[0, column].set_title(optimizer)
            grid[1, column].set_xlabel("epoch")
        for axes, measure, label in zip(grid, limits, ("accuracy on valid", "loss on valid"), strict=True):
            axes[0].set(ylabel=label, ylim=limits[measure])
            for each in axes:
                each.grid(alpha=0.3)
                each.xaxis.set_major_locator(MaxNLocator(integer=True))
        used = sorted(part["batch_size"].unique())
        lines = [grid[0, 0].plot([], [], color=colours[size], label=f"{size}")[0] for size in used]
        figure.legend(handles=lines, title="batch size", loc="outside right upper", frameon=False)
        figure.suptitle(f"{model}, {channels}")
        yield f"curves_{model}_{channels}", figure


def histogram(accuracy: pd.Series, bins: int) -> Figure:
    """How the accuracies are spread, the fullest bin marked."""
    counts, edges, fullest = compare.fullest_bin(accuracy.to_numpy(), bins)
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    colours = [ACCENT if number == fullest else INK for number in range(len(counts))]
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours, edgecolor="white")
    low, high = edges[fullest], edges[fullest + 1]
    axes.axvline(accuracy.median(), color="black", linestyle=":", label=f"median {accuracy.median():.4f}")
    axes.axvline(accuracy.mean(), color="black", linestyle="--", label=f"mean {accuracy.mean():.4f}")
    axes.set(xlabel="best accuracy on valid", ylabel="entries")
    axes.set_title(f"Fullest bin: {counts[fullest]} of {len(accuracy)} from {low:.3f} to {high:.3f}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)  # beside the bars, whatever their heights
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def heatmap(history: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Accuracy on valid by entry, in order of the ranking, and epoch; `history` has a row per entry and epoch."""
    wide = history.pivot(index="run_id", columns="epoch", values="val_accuracy").reindex(table["run_id"])
    names = [f"{row.rank}  {row.label}" for row in table.itertuples()]
    height = min(1.5 + 0.17 * len(wide), TALLEST)
    figure = Figure(figsize=(11, max(height, 2.5)), layout="constrained")
    axes = figure.subplots()
    low, high = np.nanquantile(wide.to_numpy(), [0.02, 1])
    image = axes.imshow(wide, aspect="auto", cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="accuracy on valid", shrink=min(1, 4 / height), anchor=(0, 1))
    if len(names) <= 150:  # more can't be read
        axes.set_yticks(range(len(names)), names, fontsize=7)
    else:
        axes.set_ylabel("entry, by rank")
    epochs = wide.columns
    shown = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), 11)).round().astype(int))
    axes.set_xticks(shown, [epochs[number] for number in shown])
    axes.set(xlabel="epoch", title="Accuracy on valid, epoch by epoch")
    return figure


def cost(history: pd.DataFrame) -> Figure:
    """Best accuracy on valid so far against the processor time spent until then, a line per entry, a colour per model.

    `history` has a row per entry and epoch: its model, `best` and `spent`, in seconds summed over cores.
    """
    models = sorted(history["model"].unique())
    colours = _colours(models)
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for (model, _), run in history.sort_values("epoch").groupby(["model", "run_id"], sort=False):
        axes.plot(run["spent"] / 60, run["best"], color=colours[model], linewidth=1.2, alpha=0.8, marker=_marker(run))
    axes.set(xlabel="processor time of the training, minutes (summed over cores)", ylabel="best accuracy on valid")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a short range has no power of ten in it
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    lines = [axes.plot([], [], color=colours[model], label=model)[0] for model in models]
    axes.legend(handles=lines, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def boxes(per_run: pd.DataFrame) -> Figure:
    """Boxen plots, per model, of the highest accuracy and the lowest loss that each run reached on train and valid.

    Letter values (Hofmann, Wickham & Kafadar 2017, J. Comput. Graph. Stat. 26). Columns: model, highest_accuracy,
    highest_val_accuracy, lowest_loss, lowest_val_loss.
    """
    order = sorted(per_run["model"].unique())
    figure = Figure(figsize=(11, 2.4 + 0.8 * len(order)), layout="constrained")
    grid = figure.subplots(2, 2, sharey=True)
    columns = (("highest_val_accuracy", "lowest_val_loss"), ("highest_accuracy", "lowest_loss"))
    for line, names, colour in zip(grid, columns, (INK, QUIET), strict=True):
        for axes, name in zip(line, names, strict=True):
            seaborn.boxenplot(per_run, x=name, y="model", order=order, color=colour, ax=axes)
            if "loss" in name and per_run[name].max() > 20 * per_run[name].min():
                axes.set_xscale("log")  # some have diverged
            kind, measure = name.replace("val_", "").split("_")
            axes.set(xlabel=f"{kind} {measure} on {'valid' if 'val' in name else 'train'}", ylabel="")
            axes.spines[["top", "right"]].set_visible(False)
    return figure


def differences(pairs: pd.DataFrame, figures: dict, first: str, second: str) -> Figure:
    """First less second for each pair of otherwise equal runs, their mean and its interval."""
    difference = (pairs[f"best_val_accuracy_{first}"] - pairs[f"best_val_accuracy_{second}"]) * 100
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots()
    height = np.random.default_rng(0).uniform(-0.25, 0.25, len(difference))  # so that equal points do not hide
    axes.scatter(difference, height, color=INK, alpha=0.6, s=22)
    axes.axvline(0, color="black", linewidth=0.8)
    mean, low, high, median = (100 * figures[key] for key in ("mean", "low", "high", "median"))
    if np.isfinite(low):
        axes.errorbar([mean], [0.55], xerr=[[mean - low], [high - mean]], fmt="D", color=ACCENT, capsize=4)
    axes.text(mean, 0.68, f"mean {mean:+.2f}, median {median:+.2f} points", ha="center", color=ACCENT)
    axes.set(ylim=(-0.45, 1.0), yticks=[], xlabel=f"accuracy on valid, {first} less {second}, percentage points")
    axes.set_title(f"{figures['higher']:.0f} of {figures['pairs']:.0f} pairs: {first} is higher")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def effects(table: pd.DataFrame) -> Figure:
    """How far each value of each choice lies from the mean of the values, in percentage points, with its interval."""
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(table)), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(table))
    effect, low, high = (100 * table[column] for column in ("effect", "low", "high"))
    known = low.notna()
    axes.errorbar(effect[known], place[known], xerr=[(effect - low)[known], (high - effect)[known]], **_point(INK))
    axes.errorbar(effect[~known], place[~known], **_point(QUIET))
    axes.axvline(0, color="black", linewidth=0.8)
    for start in np.flatnonzero(table["choice"].ne(table["choice"].shift()).to_numpy())[1:]:
        axes.axhline(start - 0.5, color=QUIET, linewidth=0.6)
    axes.set_yticks(place, [f"{row.choice} = {row.value}  ({row.runs})" for row in table.itertuples()])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on valid, percentage points from the mean of the values")
    axes.set_title("Effect of each choice (entries)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def class_counts(counts: pd.DataFrame) -> Figure:
    """Images per emotion, stacked, a bar per row of `counts` (such as "train, kept"); a column per emotion."""
    figure = Figure(figsize=(9, 1.4 + 0.4 * len(counts)), layout="constrained")
    axes = figure.subplots()
    counts.plot.barh(stacked=True, ax=axes, color=seaborn.color_palette("colorblind", counts.shape[1]), width=0.75)
    axes.invert_yaxis()
    axes.set(xlabel="images", ylabel="")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _colours(values: Sequence) -> dict:
    """A colour for each, no two alike: the palette for people who see few colours has ten."""
    palette = "colorblind" if len(values) <= 10 else "husl"
    return dict(zip(values, seaborn.color_palette(palette, len(values)), strict=True))


def _point(colour: str) -> dict:
    return {"fmt": "o", "color": colour, "capsize": 3, "markersize": 5}


def _marker(run: pd.DataFrame) -> str | None:
    return "." if len(run) < 20 else None  # a line of one epoch could not be seen without


def _limits(values: pd.Series, high: float) -> tuple[float, float]:
    """An axis from the lowest value, which may be a whole training of one epoch, to `high`, with a margin."""
    low = min(values.min(), high)
    margin = 0.05 * (high - low) or 0.05
    return (low - margin, high + margin) if np.isfinite(low) else (0.0, 1.0)
