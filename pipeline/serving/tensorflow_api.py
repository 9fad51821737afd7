"""TensorFlow Serving's REST API for one model, so that its clients work: prediction, status and metadata.

As there, the answer is the model's own probabilities, without temperature and threshold, and instances are the model's
input: 48x48 faces already cut out, values 0 to 255. Its documentation: tensorflow.org/tfx/serving/api_rest.
"""

import json
import math
from itertools import chain
from typing import Any

import numpy as np

from pipeline.exporting.names import INPUT, MODEL, OUTPUT, SIGNATURE
from pipeline.serving.model import Model
from pipeline.serving.upload import Refusal

BYTES_A_NUMBER = 40  # of a request's JSON at most: three digits, a comma and a line of its own, indented
BESIDES = 16  # commas and brackets of a request that are not of its images


def images_of(body: bytes, shape: tuple[int, int, int], most: int) -> tuple[np.ndarray, str]:
    """uint8 [N, *shape] of a request, and the key of the answer: "predictions" (rows) or "outputs" (columns)."""
    # Parsed, JSON takes many times its length, most of all what is empty: so what it holds is counted before.
    numbers, lists = math.prod(shape), 1 + shape[0] + shape[0] * shape[1]
    held = sum(map(body.count, (b",", b"[", b"{")))
    if len(body) > most * numbers * BYTES_A_NUMBER or held > most * (numbers + lists + 1) + BESIDES:
        raise Refusal(413, "too_large", f"The body is larger than {most} images can be.")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "bad_json", "The body is not JSON.") from None
    if not isinstance(asked, dict) or ("instances" in asked) == ("inputs" in asked):
        raise Refusal(400, "bad_request", "Send a JSON object with either instances or inputs.")
    if asked.get("signature_name", SIGNATURE) not in (SIGNATURE, ""):
        raise Refusal(400, "bad_signature", f"The model has one signature; expected signature_name {SIGNATURE}.")
    values = asked["instances"] if "instances" in asked else asked["inputs"]
    rows = "instances" in asked and isinstance(values, list)
    values = [_named(each) for each in values] if rows else _named(values)
    if not isinstance(values, list) or not 0 < len(values) <= most or (images := _pixels(values, shape)) is None:
        raise Refusal(400, "bad_shape", f"Expected 1 to {most} images of {list(shape)} whole numbers from 0 to 255.")
    return images, "predictions" if "instances" in asked else "outputs"


def _pixels(values: list, shape: tuple[int, ...]) -> np.ndarray | None:
    """uint8 [N, *shape] of nested lists, None for any others. NumPy sees only what is known to be whole numbers."""
    for side in shape:
        if not all(isinstance(each, list) and len(each) == side for each in values):
            return None
        values = list(chain.from_iterable(values))
    if not all(type(each) is int and 0 <= each <= 255 for each in values):  # type: a bool is an int as well
        return None
    return np.array(values, np.uint8).reshape(-1, *shape)


def _named(value: Any) -> Any:
    """An input without the name that it may carry; Refusal for another name."""
    if not isinstance(value, dict):
        return value
    if set(value) != {INPUT}:
        raise Refusal(400, "bad_input", f"The model has one input; expected the name {INPUT} and no other.")
    return value[INPUT]


def status(model: Model) -> dict[str, Any]:
    """What GET /v1/models/emotion answers."""
    state = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": str(model.about["version"]), "state": "AVAILABLE", "status": state}]}


def metadata(model: Model) -> dict[str, Any]:
    """What GET /v1/models/emotion/metadata answers: names, types and shapes of the signature."""

    def tensor(kind: str, *sides: int) -> dict[str, Any]:
        return {
            "dtype": kind,
            "tensor_shape": {"dim": [{"size": str(n), "name": ""} for n in (-1, *sides)], "unknown_rank": False},
        }

    signature = {
        "inputs": {INPUT: tensor("DT_UINT8", *model.shape)},
        "outputs": {OUTPUT: tensor("DT_FLOAT", len(model.about["labels"]))},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": MODEL, "signature_name": "", "version": str(model.about["version"])},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }
