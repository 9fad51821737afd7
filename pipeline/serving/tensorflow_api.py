"""TensorFlow Serving's REST API for one model, so that its clients work: prediction, status and metadata.

As there, the answer is the model's own probabilities, without temperature and threshold, and instances are the model's
input: 48x48 faces already cut out, values 0 to 255. Its documentation: tensorflow.org/tfx/serving/api_rest.
"""

import json
import math
from typing import Any

import numpy as np

from pipeline.serving.model import Model
from pipeline.serving.upload import Refusal

NAME = "emotion"
INPUT, OUTPUT, SIGNATURE = "image", "probabilities", "serving_default"  # as export names them in the SavedModel
BYTES_A_NUMBER = 40  # of a request's JSON at most: three digits, a comma and a line of its own, indented


def images_of(body: bytes, shape: tuple[int, int, int], most: int) -> tuple[np.ndarray, str]:
    """uint8 [N, *shape] of a request, and the key of the answer: "predictions" (rows) or "outputs" (columns)."""
    if len(body) > most * math.prod(shape) * BYTES_A_NUMBER:  # parsed, JSON takes many times its length
        raise Refusal(413, "too_large", f"The body is larger than {most} images can be.")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "bad_json", "The body is not JSON.") from None
    if not isinstance(asked, dict) or ("instances" in asked) == ("inputs" in asked):
        raise Refusal(400, "bad_request", "Send a JSON object with either instances or inputs.")
    if asked.get("signature_name", SIGNATURE) not in (SIGNATURE, ""):
        raise Refusal(400, "bad_signature", f"The model has one signature, {SIGNATURE}.")
    values = asked["instances"] if "instances" in asked else asked["inputs"]
    rows = "instances" in asked and isinstance(values, list)
    values = [_named(each) for each in values] if rows else _named(values)
    wrong = Refusal(400, "bad_shape", f"Expected 1 to {most} images of {list(shape)} whole numbers from 0 to 255.")
    if not isinstance(values, list) or not 0 < len(values) <= most:
        raise wrong
    try:
        array = np.array(values)
    except (ValueError, OverflowError, RecursionError):
        raise wrong from None
    if array.shape[1:] != shape or array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise wrong
    return array.astype(np.uint8), "predictions" if "instances" in asked else "outputs"


def _named(value: Any) -> Any:
    """An input without the name that it may carry."""
    return value[INPUT] if isinstance(value, dict) and set(value) == {INPUT} else value


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
        "model_spec": {"name": NAME, "signature_name": "", "version": str(model.about["version"])},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }
