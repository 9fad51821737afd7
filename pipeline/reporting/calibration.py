"""How far a classifier's own probability can be believed, and when it had better say "not sure"; no files, no MLflow.

`learn` takes a temperature and a threshold from valid; `figures` says of any split what they do there. The confidence
of an answer is the highest of its seven probabilities.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from pipeline.reporting.intervals import wilson
from pipeline.reporting.temperature import SMALLEST, calibrated

TEMPERATURES = (0.05, 20)  # where the best one is looked for; a model that needs another is broken


@dataclass(frozen=True)
class Calibration:
    """A `temperature` above 0, and the `threshold` 0..1 that a calibrated confidence must exceed to be an answer.

    Threshold 0 answers always; 1 never does, and says that no threshold kept the promise.
    """

    temperature: float
    threshold: float


def learn(labels: np.ndarray, probabilities: np.ndarray, precision: float, confidence: float) -> Calibration:
    """Temperature and threshold from the images of valid: labels int [N], probabilities float [N, 7]."""
    temperature = fit_temperature(labels, probabilities)
    curve = risk_coverage(labels, calibrated(probabilities, temperature))
    return Calibration(temperature, choose_threshold(curve, precision, confidence))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature of least negative log-likelihood; above 1 the model was too sure of itself.

    The likelihood is convex in 1 / temperature and so has one minimum; none above 0 where every answer is right, and
    then it is the least of TEMPERATURES.
    """
    if (probabilities.argmax(1) == labels).all():  # so flat that a search would stop anywhere
        return TEMPERATURES[0]

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(labels, calibrated(probabilities, np.exp(log_temperature)))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))


def at_bound(temperature: float) -> bool:
    """Whether the best temperature lies at an end of the range in which it was looked for, and so maybe beyond it."""
    return any(abs(temperature / bound - 1) <= 0.001 for bound in TEMPERATURES)


def negative_log_likelihood(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -ln of the probability that each image's own label was given; 0 is perfect, ln 7 = 1.95 a guess."""
    return float(log_losses(labels, probabilities).mean())


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """-ln of the probability that each image's own label was given, float [N]."""
    own = probabilities[np.arange(len(labels)), labels].astype(float)
    return -np.log(np.maximum(own, SMALLEST))


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int, confidence: float) -> list[dict[str, float]]:
    """Accuracy beside mean confidence, in bins of equal width of the confidence (above `from`, up to `to`).

    A bin without an image is left out. `low` to `high` is Wilson's interval of the accuracy.
    """
    sure, right = _answers(labels, probabilities)
    edges = np.linspace(0, 1, bins + 1)
    number = _bins(sure, bins)
    images = np.bincount(number, minlength=bins)
    filled = images > 0
    accuracy, mean = (np.bincount(number, each, bins)[filled] / images[filled] for each in (right, sure))
    low, high = wilson(accuracy, images[filled], confidence)
    columns = {"from": edges[:-1][filled], "to": edges[1:][filled], "images": images[filled]}
    columns |= {"confidence": mean, "accuracy": accuracy, "low": low, "high": high}
    return pd.DataFrame(columns).to_dict("records")


def expected_calibration_error(table: list[dict[str, float]]) -> float:
    """Mean distance of accuracy and confidence over the bins of `reliability`, weighted by their images; 0 is best.

    Naeini, Cooper & Hauskrecht 2015, AAAI; Guo et al. 2017, eq. 3. Chance alone puts some distance into every bin: it
    is never quite 0, and the more so the fewer images there are; `error_by_chance` says how much.
    """
    images = sum(row["images"] for row in table)
    return sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in table) / images


def error_by_chance(
    probabilities: np.ndarray, bins: int, resamples: int, confidence: float, generator: np.random.Generator
) -> dict[str, float]:
    """The calibration error of a model that is right exactly as often as it says, on as many images, as sure of them.

    `mean`, and `high`, which it stays under with probability `confidence`: an error above that is not chance alone.
    Each answer is drawn right with the probability of its own confidence, `resamples` times ("consistency resampling",
    Bröcker & Smith 2007, Weather and Forecasting 22; for classifiers Vaicenavicius et al. 2019, AISTATS).
    """
    sure = probabilities.max(1).astype(float)
    number = _bins(sure, bins)
    errors = [
        np.abs(np.bincount(number, (generator.random(len(sure)) < sure) - sure)).sum() / len(sure)
        for _ in range(resamples)
    ]
    return {"mean": float(np.mean(errors)), "high": float(np.quantile(errors, confidence))}


def risk_coverage(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """What answering only the surest images costs and gains: a row for each distinct confidence, the highest first.

    Columns: `confidence`, `answered` and `right` (images at least that sure), `coverage` (their share of all) and
    `risk` (the share of them that is wrong). El-Yaniv & Wiener 2010, JMLR 11; Geifman & El-Yaniv 2017, "Selective
    Classification for Deep Neural Networks", NIPS.
    """
    sure, right = _answers(labels, probabilities)
    order = np.argsort(-sure, kind="stable")
    last = np.append(np.diff(sure[order]) != 0, True)  # equally sure images are answered together
    answered = np.arange(1, len(sure) + 1)[last]
    rights = np.cumsum(right[order])[last]
    columns = {"confidence": sure[order][last], "answered": answered, "right": rights}
    return pd.DataFrame(columns | {"coverage": answered / len(sure), "risk": 1 - rights / answered})


def area(curve: pd.DataFrame) -> float:
    """Area under the risk over all coverages, 0..1, the lower the better; the error rate if confidence tells nothing.

    AURC of Geifman, Uziel & El-Yaniv 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR.
    """
    return float((np.diff(curve["coverage"], prepend=0) * curve["risk"]).sum())


def choose_threshold(curve: pd.DataFrame, precision: float, confidence: float) -> float:
    """The smallest threshold at which the answers are right at least `precision` of the time; 1 when none is.

    What has to reach it is the lower end of the Wilson interval of their precision: a threshold whose plain precision
    just reaches it has probably been lucky, of many that were tried, and would miss it on new images more often than
    not. It also asks for enough answers to judge by: three right ones of three prove nothing. Geifman &
    El-Yaniv 2017 bound the risk in the same way, and stricter, since they also pay for having tried many.
    """
    low, _ = wilson(1 - curve["risk"], curve["answered"], confidence)
    kept = np.flatnonzero(low >= precision)
    if not len(kept):
        return 1.0
    # above the next lower confidence, the answers are the same as at this one
    return float(np.append(curve["confidence"], 0)[kept[-1] + 1])


def figures(
    labels: np.ndarray,
    probabilities: np.ndarray,
    learned: Calibration,
    bins: int,
    resamples: int,
    confidence: float,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """What a split shows of it: `nll`, `ece` and `reliability` before and after, `risk_coverage_area`, `answers`.

    `ece_by_chance` is what `ece` after would be if the calibrated probabilities were exactly right. `at_bound` says
    that the temperature is no real one.
    """
    both = {"before": probabilities, "after": calibrated(probabilities, learned.temperature)}
    tables = {name: reliability(labels, each, bins, confidence) for name, each in both.items()}
    return {
        "nll": {name: negative_log_likelihood(labels, each) for name, each in both.items()},
        "ece": {name: expected_calibration_error(table) for name, table in tables.items()},
        "ece_by_chance": error_by_chance(both["after"], bins, resamples, confidence, generator),
        "reliability": tables,
        "risk_coverage_area": area(risk_coverage(labels, both["after"])),
        "answers": answers(labels, both["after"], learned.threshold, confidence),
        "at_bound": at_bound(learned.temperature),
    }


def answers(labels: np.ndarray, probabilities: np.ndarray, threshold: float, confidence: float) -> dict[str, Any]:
    """The answers given above a threshold: `images`, `coverage` and `precision` with Wilson's `intervals`.

    `precision` is the share of right answers; without an answer it is left out.
    """
    sure, right = _answers(labels, probabilities)
    given = sure > threshold
    found: dict[str, Any] = {"images": int(given.sum()), "coverage": float(given.mean())}
    shares = {"coverage": (found["coverage"], len(given))}
    if given.any():
        found["precision"] = float(right[given].mean())
        shares["precision"] = (found["precision"], found["images"])
    ends = {name: wilson(share, images, confidence) for name, (share, images) in shares.items()}
    return found | {"intervals": {name: [float(end) for end in each] for name, each in ends.items()}}


def _bins(sure: np.ndarray, bins: int) -> np.ndarray:
    """The number, from 0, of the bin of equal width that each confidence lies in; its upper end is its own."""
    return np.clip(np.digitize(sure, np.linspace(0, 1, bins + 1), right=True) - 1, 0, bins - 1)


def _answers(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each image the confidence 0..1 and whether the answer is right."""
    return probabilities.max(1).astype(float), probabilities.argmax(1) == labels
