"""Can two accuracies be told apart? Intervals, tests of pairs, and effects of choices; no files, no MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, special  # not stats: importing it takes as long as ranking does

UNPAIRED = "two proportions"  # the test when it is not known which images both got right
ROUNDING = np.finfo(np.float32).eps  # of an accuracy, as Keras gives it

Scatter = tuple[float, float]  # a variance, and the degrees of freedom that it is known by


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """p-value that two models are equally often right; bool [N] each says which of the same N images they got right.

    McNemar's test with the mid-p value: Edwards 1948, Psychometrika 13, for the test; Fagerland, Lydersen & Laake 2013,
    BMC Medical Research Methodology 13:91, for mid-p, which is neither as timid as the exact test nor too bold.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    fewer, discordant = min(only_first, only_second), only_first + only_second
    if discordant == 0:
        return 1.0
    at_most = special.bdtr(fewer, discordant, 0.5)
    below = special.bdtr(fewer - 1, discordant, 0.5) if fewer else 0.0
    return float(1 - (at_most - below) / 2 if only_first == only_second else at_most + below)


@dataclass(frozen=True)
class Difference:
    """How much more often one entry is right than another, -1..1: `mean`, and what else draws might have given.

    Its interval lies about `middle`. `scatters` has the variance and the degrees of freedom of what makes it uncertain:
    the choice of images, then of seeds if that is known. Each widens the interval by a Student's t of its own (Howe
    1974, J. American Statistical Association 69:789). One t for their sum, by Welch and Satterthwaite's degrees of
    freedom, is far too narrow where few seeds, by luck, lie close together, and most so at the high confidence of many
    questions.
    """

    mean: float
    middle: float
    scatters: tuple[Scatter, ...]

    @property
    def p_value(self) -> float:
        """That the difference is 0: one less the confidence at which the interval begins to hold 0; 0 below 1e-130."""
        least = np.log(1e-130)

        def beyond(log: float) -> float:
            return self._half(np.exp(log)) - abs(self.middle)

        return float(np.exp(optimize.brentq(beyond, least, 0))) if beyond(least) > 0 else 0.0

    def interval(self, confidence: float) -> tuple[float, float]:
        half = self._half(1 - confidence)
        return self.middle - half, self.middle + half

    def _half(self, error: float) -> float:
        """Half an interval that misses in so many cases, 0..1."""
        variances, freedoms = np.array(self.scatters).T
        return float(np.sqrt((variances * special.stdtrit(freedoms, error / 2) ** 2).sum()))


def on_same_images(first: np.ndarray, second: np.ndarray, seeds: Sequence[Scatter] = ()) -> Difference:
    """The difference of two entries of which it is known which of the same N images they got right.

    `first` and `second`: bool [N], or the shares of each one's seeds in 0..1 that got an image right. `seeds`: as
    `scatter_of_seeds` gives it.

    The variance over images is Wald's, once half an image is added to each of the four cases (Agresti & Min 2005,
    Statistics in Medicine 24:729): without that it is too small where the two answer few images differently, and would
    call a difference established that McNemar's test does not.
    """
    difference = first.astype(float) - second.astype(float)
    images = len(difference) + 2
    middle = difference.sum() / images
    variance = (((difference**2).sum() + 1) / images - middle**2) / images
    images_drawn = float(variance), len(difference) + 1
    return Difference(float(first.mean() - second.mean()), float(middle), (images_drawn, *seeds))


def of_proportions(
    first: float, second: float, images_first: int, images_second: int, seeds: Sequence[Scatter] = ()
) -> Difference:
    """The difference of two accuracies when it is unknown which images each got right: pooled z-test.

    Agresti 2002, "Categorical Data Analysis", sec. 3.1.2; one image right and one wrong are added to each (Agresti &
    Caffo 2000, The American Statistician 54:280), else two that are right on all of few images would be told to be
    equally good. On the same images it is cautious: a pair's test, which knows that both models get the same easy
    images right, tells more apart. `seeds` as in `on_same_images`.
    """
    pooled = (first * images_first + second * images_second + 2) / (images_first + images_second + 4)
    variance = pooled * (1 - pooled) * (1 / images_first + 1 / images_second)
    return Difference(first - second, first - second, ((variance, np.inf), *seeds))


def scatter_of_seeds(entries: pd.DataFrame, of: pd.DataFrame) -> Sequence[Scatter]:
    """What the choice of seeds adds to the difference of two of some `entries`; empty where none has several seeds.

    `of` are the two; both tables have `seeds`, how many an entry has, and `sd`, the standard deviation of its accuracy
    over them. Each is taken to scatter as all with several seeds do together (pooled variance), for two or three tell
    next to nothing of their own entry: one whose seeds lie close by luck, or a single draw beside means of several,
    would else be called the best, and others lower.
    """
    several = entries[entries["seeds"] > 1]
    if several.empty:
        return ()
    freedom = int((several["seeds"] - 1).sum())
    pooled = ((several["seeds"] - 1) * several["sd"] ** 2).sum() / freedom
    return ((float(pooled * (1 / of["seeds"]).sum()), freedom),)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for having asked so many questions at once (Holm 1979, Scand. J. Statistics 6)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def against_best(p_values: Sequence[float]) -> np.ndarray:
    """p-values of the best of some entries against each other one, adjusted as if all pairs of them had been asked.

    Which one is the best, and so which pairs are looked at, was decided by the same images: Holm over the others alone
    calls one of 24 equally good entries lower in a quarter of such rankings, this in under 5 %.
    """
    entries = len(p_values) + 1
    return np.minimum(holm(p_values) * entries / 2, 1)


def for_all_pairs(confidence: float, entries: int) -> float:
    """The confidence of one pair's interval at which those of all pairs of entries hold together (Bonferroni)."""
    return 1 - (1 - confidence) / max(1, entries * (entries - 1) / 2)


def paired_difference(first: np.ndarray, second: np.ndarray, confidence: float) -> dict[str, float]:
    """Mean of first - second over pairs of otherwise equal runs, its t interval (Student 1908) and p-value; the median.

    With fewer than two pairs, or all differences equal, interval and p-value are NaN: nothing tells how they vary.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    figures = {
        "pairs": len(difference),
        "higher": int((difference > 0).sum()),
        "mean": float(difference.mean()),
        "median": float(np.median(difference)),
    }
    rounding = 2 * ROUNDING * max(np.abs(first).max(), np.abs(second).max()) if len(difference) else 0
    if len(difference) < 2 or np.ptp(difference) <= rounding:
        return figures | {"low": np.nan, "high": np.nan, "p_value": np.nan}
    freedom, error = len(difference) - 1, difference.std(ddof=1) / np.sqrt(len(difference))
    half = special.stdtrit(freedom, (1 + confidence) / 2) * error
    p_value = 2 * special.stdtr(freedom, -abs(difference.mean()) / error)
    return figures | {"low": figures["mean"] - half, "high": figures["mean"] + half, "p_value": float(p_value)}


def main_effects(table: pd.DataFrame, choices: Sequence[str], measure: str, confidence: float) -> pd.DataFrame:
    """How far each value of each choice lies from the mean of the choice's values, with the other choices held equal.

    In that mean each value counts alike, however many runs it has. Least squares on deviation-coded choices
    (Montgomery, "Design and Analysis of Experiments", ch. 5 and 15: a grid with holes, as when two batch sizes were run
    in one channel mode only, needs the fit rather than plain means). Rows: choice, value, runs, mean, effect, low,
    high, p_value. The interval is Student's t from the scatter that the choices leave unexplained, so interactions
    widen it, and is for one value alone; the p-value of the same t is adjusted for asking about all of them (Holm).
    Both are NaN when the grid cannot separate two choices, and then `effect` is of plain means; when it leaves no run
    over to judge the scatter by; and when nothing scatters, as where all runs collapsed to one answer. Of a choice with
    two values both effects are one question, told from two sides.
    """
    choices = [choice for choice in choices if table[choice].nunique() > 1]
    coded = {choice: _deviations(table[choice]) for choice in choices}
    y = table[measure].to_numpy(float)
    design = np.column_stack([np.ones(len(y)), *(columns for _, columns in coded.values())])
    freedom = len(y) - design.shape[1]
    separable = freedom > 0 and np.linalg.matrix_rank(design) == design.shape[1]
    if separable:
        inverse = np.linalg.inv(design.T @ design)
        coefficients = inverse @ design.T @ y
        residuals = y - design @ coefficients
        scatters = np.abs(residuals).max() > ROUNDING * np.abs(y).max()
        variance = (residuals**2).sum() / freedom if scatters else np.nan
    rows, position = [], 1
    for choice, (values, columns) in coded.items():
        width = columns.shape[1]
        means = [float(y[table[choice] == value].mean()) for value in values]
        for number, (value, mean) in enumerate(zip(values, means, strict=True)):
            effect, error = mean - np.mean(means), np.nan
            if separable:
                weights = np.zeros(design.shape[1])
                weights[position : position + width] = np.eye(width)[number] if number < width else -1
                effect, error = weights @ coefficients, np.sqrt(variance * weights @ inverse @ weights)
            runs = int((table[choice] == value).sum())
            rows.append((choice, value, runs, mean, float(effect), float(error)))
        position += width
    found = pd.DataFrame(rows, columns=["choice", "value", "runs", "mean", "effect", "error"])
    effect, error = found["effect"].to_numpy(float), found.pop("error").to_numpy(float)
    half = special.stdtrit(freedom, (1 + confidence) / 2) * error
    p_values = 2 * special.stdtr(freedom, -np.abs(effect) / error)
    other_side = found.duplicated("choice") & (found.groupby("choice")["value"].transform("size") == 2)
    adjusted = pd.Series(np.nan, found.index)
    adjusted[~other_side] = holm(p_values[~other_side])
    return found.assign(low=effect - half, high=effect + half, p_value=adjusted.ffill())


def _deviations(column: pd.Series) -> tuple[list, np.ndarray]:
    """The values of a choice in order, and its deviation coding [runs, values - 1]: the last is minus the rest."""
    values = sorted(column.unique())
    coded = np.eye(len(values))[[values.index(value) for value in column]]
    return values, coded[:, :-1] - coded[:, -1:]


def pairs(table: pd.DataFrame, choice: str, first: object, second: object, same: Sequence[str]) -> pd.DataFrame:
    """Runs with `choice` first beside those with second that are equal in `same`: columns of both, by suffix.

    Of several on a side that are equal in `same`, none is known to be the partner, and picking the best would flatter.
    """
    sides = [table[table[choice] == value].drop_duplicates(list(same), keep=False) for value in (first, second)]
    return sides[0].merge(sides[1], on=list(same), suffixes=(f"_{first}", f"_{second}"))


def fullest_bin(values: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Counts, edges and the number of the first fullest bin of a histogram of shares; the edges are in 0..1 as well."""
    low, high = values.min(), values.max()
    if low == high:
        low, high = max(low - 0.05, 0), min(high + 0.05, 1)
    counts, edges = np.histogram(values, bins, (low, high))
    return counts, edges, int(counts.argmax())
