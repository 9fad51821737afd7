"""The shapes of requests and answers, with examples: what /openapi.json says of them."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.exporting.names import INPUT, SIGNATURE
from pipeline.labels import ENCODINGS, LABELS

_P = dict(zip(LABELS, (0.01, 0.0, 0.01, 0.91, 0.01, 0.02, 0.04), strict=True))
_EMOTION = {
    "predicted_emotion": 3,
    "predicted_emotion_label": "happiness",
    "certain": True,
    "class_probabilities": _P,
}
_MODEL = {"name": "compact", "version": 1}
_FACE = {"box": {"x": 173, "y": 68, "width": 107, "height": 106}, "score": 0.94, **_EMOTION}
_PICTURE = {
    **_EMOTION,
    "label_encodings": ENCODINGS,
    "faces": [_FACE],
    "words": "One face was found.",
    "too_small": 0,
    "not_read": 0,
    "animated": False,
    "orientation": 1,
    "width": 512,
    "height": 512,
    "model": _MODEL,
}
_ERROR = {"error": "The file is empty.", "code": "zero_bytes"}


def _example(value: dict) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class Problem(BaseModel):
    """What went wrong: words for people, a code for programs."""

    model_config = _example(_ERROR)
    error: str
    code: str


class Box(BaseModel):
    """Left upper corner and size, in pixels of the upright picture."""

    x: int
    y: int
    width: int
    height: int


class Served(BaseModel):
    """The model that gave the answer."""

    name: str
    version: int


class Face(BaseModel):
    """A face: where it is, how sure the detector is of it (0..1), and what it shows."""

    model_config = _example(_FACE)
    box: Box
    score: float
    predicted_emotion: int
    predicted_emotion_label: str
    certain: bool
    class_probabilities: dict[str, float]


class Picture(BaseModel):
    """A picture. The emotion is that of its largest face, null without one; certain false means not sure.

    too_small, not_read: faces too small to read and those beyond the most that are. animated: only its first frame was
    read. orientation: as EXIF numbers it, 1 to 8; how the stored picture was turned before faces were looked for, which
    a viewer that knows no such tag has to do as well for the boxes to fit. width, height: of the upright picture.
    """

    model_config = _example(_PICTURE)
    predicted_emotion: int | None
    predicted_emotion_label: str | None
    certain: bool
    class_probabilities: dict[str, float] | None
    label_encodings: dict[str, int]
    faces: list[Face]
    words: str
    too_small: int
    not_read: int
    animated: bool
    orientation: int
    width: int
    height: int
    model: Served


class Pictures(BaseModel):
    """Several pictures, in the order in which they were sent, each with its answer or its problem."""

    model_config = _example({"pictures": [_PICTURE, _ERROR]})
    pictures: list[Picture | Problem]


class Interval(BaseModel):
    """A figure 0..1, its interval of so much confidence, and the number of images behind it."""

    value: float
    low: float
    high: float
    confidence: float
    images: int


class Lead(BaseModel):
    """From when on the page says that an emotion leads, by the rule of the campaign report.

    confidence: of the interval that has to lie above one half, and normal, the two-sided quantile of the normal
    distribution for it. fewest: independent parts of equal size, as pictures, from which on there is an interval.
    """

    confidence: float
    normal: float
    fewest: int


class About(BaseModel):
    """What is in service: the parts of the model's manifest that users need, the rule of the lead, a request's limits.

    precision: how often answers over the threshold were to be right when it was chosen; an aim, not a measurement.
    answers: how often those on valid and test were right, by split, of so many images that got one; exports of older
    versions have none. caution: why all these may flatter, "" where nothing is known to make them.
    """

    model: str
    version: int
    labels: list[str]
    threshold: float
    precision: float
    accuracy: dict[str, Interval]
    f1_macro: dict[str, Interval]
    answers: dict[str, Interval]
    caution: str
    lead: Lead
    limits: dict[str, int]


class Predictions(BaseModel):
    """TensorFlow Serving's answer in the row format: for each instance the probabilities in the order of the labels."""

    model_config = _example({"predictions": [list(_P.values())]})
    predictions: list[list[float]]


class Outputs(BaseModel):
    """TensorFlow Serving's answer in the column format."""

    model_config = _example({"outputs": [list(_P.values())]})
    outputs: list[list[float]]


class State(BaseModel):
    """An error that a model has, of no words where it has none."""

    error_code: str
    error_message: str


class ModelVersion(BaseModel):
    """A version of the model and whether it answers."""

    version: str
    state: str
    status: State


class Status(BaseModel):
    """TensorFlow Serving's answer about the state of the model: of one version, the one in service."""

    model_version_status: list[ModelVersion]


class ModelSpec(BaseModel):
    """Which model is told about."""

    name: str
    signature_name: str
    version: str


class Dimension(BaseModel):
    """Length of one side of a tensor, "-1" for any."""

    size: str
    name: str


class Shape(BaseModel):
    """The sides of a tensor, the outermost first."""

    dim: list[Dimension]
    unknown_rank: bool


class Tensor(BaseModel):
    """Type, such as DT_UINT8, and shape."""

    dtype: str
    tensor_shape: Shape


class Signature(BaseModel):
    """Inputs and outputs by their names."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    method_name: str


class Signatures(BaseModel):
    """Signatures by their names."""

    signature_def: dict[str, Signature]


class Signed(BaseModel):
    """What is told about a model."""

    signature_def: Signatures


class Metadata(BaseModel):
    """TensorFlow Serving's answer about the names, types and shapes of the model's input and output."""

    model_spec: ModelSpec
    metadata: Signed


class Said(BaseModel):
    """A state in a word."""

    model_config = _example({"status": "ok"})
    status: str


_PROBLEMS = {
    400: "The request can't be read, or asks under a name that is not among the service's hosts.",
    403: "Sent by a page of another origin.",
    404: "Not the version in service.",
    405: "Another method than Allow says.",
    408: "The upload took too long.",
    413: "Too large, in bytes or pixels.",
    415: "Not a picture that can be read, or no form.",
    422: "Empty or damaged, or not in the field expected.",
    503: "No model yet, or too much to do; see Retry-After.",
}
_FILE = {"type": "string", "format": "binary"}


def form(most: int) -> dict[str, Any]:
    """What a client sends to have pictures read: one, or up to so many."""
    several = {
        "type": "array", "items": _FILE, "minItems": 1, "maxItems": most, "description": f"Up to {most} pictures.",
    }  # fmt: skip
    one_or_several = [
        {"type": "object", "properties": {name: what}, "required": [name]}
        for name, what in (("file", _FILE), ("files", several))
    ]
    content = {"multipart/form-data": {"schema": {"oneOf": one_or_several}}}
    return {"requestBody": {"required": True, "content": content}}


_LEVEL = {"type": "integer", "minimum": 0, "maximum": 255}
_ROW = {"type": "array", "items": {"type": "array", "items": _LEVEL}}
_IMAGE = {"type": "array", "items": _ROW, "description": "size x size x channels whole numbers"}
_IMAGES = {"type": "array", "items": _IMAGE, "minItems": 1}
_ROWS = {"anyOf": [_IMAGES, {"type": "array", "items": {"type": "object", "properties": {INPUT: _IMAGE},
                                                        "required": [INPUT]}, "minItems": 1}]}  # fmt: skip
_COLUMNS = {"anyOf": [_IMAGES, {"type": "object", "properties": {INPUT: _IMAGES}, "required": [INPUT]}]}
_SIGNATURE = {"type": "string", "enum": [SIGNATURE, ""]}
TENSORS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "object", "properties": {name: images, "signature_name": _SIGNATURE},
                         "required": [name]}
                        for name, images in (("instances", _ROWS), ("inputs", _COLUMNS))
                    ]
                }
            }
        },
    }
}  # fmt: skip
VERSION = {
    "parameters": [{"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}]
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's failures look like, by status."""
    return {status: {"model": Problem, "description": _PROBLEMS[status]} for status in statuses}
