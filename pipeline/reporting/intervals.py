"""Intervals of a share; numpy alone, so that the small environment of the service has them too."""

import math
from statistics import NormalDist

import numpy as np

FEWEST = 3  # independent parts of equal size, as pictures or moments, from which on an interval says anything
PLACES, WEIGHTS = np.polynomial.legendre.leggauss(64)  # of Gauss's rule on -1 to 1


def wilson(share: np.ndarray, images: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of the interval of an accuracy 0..1 measured on so many images.

    Wilson score interval (Wilson 1927, J. Am. Stat. Assoc. 22), recommended over the textbook one by Brown, Cai &
    DasGupta 2001, Statistical Science 16. It says what other images might have given, not what another seed might.
    """
    z = normal(confidence)
    centre = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    return np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)  # but for rounding they are


def even_parts(counts: np.ndarray) -> float:
    """How many parts of one size tell as much as these, [parts, kinds]: fewer where one has most of the answers.

    The square of the sum of the sizes over the sum of their squares (Kish 1965, "Survey Sampling", section 11.7).
    """
    sizes = counts.sum(1)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def effective_size(counts: np.ndarray, confidence: float) -> np.ndarray:
    """How many independent answers these are worth for the share of each kind, for `wilson`; counts: [parts, kinds].

    Answers of one part (the faces of one picture, the moments of a few seconds) are alike, so they are worth fewer. A
    kind's design effect from how the parts differ in it, never under the mean one over the kinds (Rao & Scott 1981,
    J. Am. Stat. Assoc. 76), which is steadier, nor under 1, and Student's t for that few parts in place of the normal
    (Korn & Graubard 1998, Survey Methodology 24); with Wilson's interval the combination that Dean & Pagano 2015
    (J. Survey Stat. Methodol. 3) found to hold best. The mean alone is that of rare kinds, and too small for a frequent
    one that some parts are full of. Parts of unequal size count as `even_parts`, of which there must be FEWEST. Where
    no part has more than one answer, all are independent.
    """
    parts, answers = even_parts(counts), counts.sum()
    if counts.sum(1).max() == 1:
        return np.full(counts.shape[1], float(answers))
    share = counts.sum(0) / answers
    there = share > 0
    apart = counts - counts.sum(1, keepdims=True) * share
    variance = parts / (parts - 1) * (apart**2).sum(0) / answers**2
    kinds = np.count_nonzero(there)
    mean = answers * (variance[there] / share[there]).sum() / (kinds - 1) if kinds > 1 else answers / parts
    independent = share * (1 - share) / answers
    own = np.divide(variance, independent, out=np.zeros_like(share), where=independent > 0)
    effect = np.maximum(own, max(1.0, mean))
    return answers / effect * (normal(confidence) / student(confidence, parts - 1)) ** 2


def normal(confidence: float) -> float:
    """Two-sided quantile of the normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def student(confidence: float, freedom: float) -> float:
    """The same of Student's t with so many degrees of freedom, a whole number or not, at least 2.

    Bisection, between the quantiles for 2 and for infinitely many, on the share that lies within -t to t: by Gauss's
    rule, the integral of cos^(freedom - 1) up to the angle arctan(t / sqrt(freedom)).
    """
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)

    def share_within(t: float) -> float:
        angle = math.atan(t / math.sqrt(freedom))
        return scale * angle * float(WEIGHTS @ np.cos(angle * (PLACES + 1) / 2) ** (freedom - 1))

    low, high = normal(confidence), confidence * math.sqrt(2 / (1 - confidence**2))
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if share_within(middle) < confidence else (low, middle)
    return high
