"""Probabilities that can be believed: temperature scaling (Guo, Pleiss, Sun & Weinberger 2017, ICML, sec. 4.2)."""

import numpy as np

SMALLEST = np.finfo(np.float32).tiny  # a softmax in float32 gives 0 below about this


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax probabilities [N, 7] at another temperature: their logarithms divided by it and renormalised.

    The logarithm of a softmax is the logits less a constant for each image, so this is the softmax of the logits
    divided by the temperature. The most likely emotion stays the same.
    """
    scaled = np.log(np.maximum(probabilities.astype(float), SMALLEST)) / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
