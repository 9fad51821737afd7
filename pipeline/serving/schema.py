"""The shapes of the API's answers, with examples: what /openapi.json says of them."""

from pydantic import BaseModel, ConfigDict

from pipeline.labels import LABELS

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
    "label_encodings": {label: index for index, label in enumerate(LABELS)},
    "faces": [_FACE],
    "words": "One face was found.",
    "too_small": 0,
    "not_read": 0,
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
    """A picture. The emotion is that of its largest face, null without one; certain false means not sure."""

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
    width: int
    height: int
    model: Served


class Pictures(BaseModel):
    """Several pictures, in the order in which they were sent, each with its answer or its problem."""

    model_config = _example({"pictures": [_PICTURE, _ERROR]})
    pictures: list[Picture | Problem]


class Interval(BaseModel):
    """A figure, its interval of 95 % and the number of images behind it."""

    model_config = ConfigDict(extra="allow")
    value: float


class About(BaseModel):
    """What is in service: the parts of the model's manifest that users need, and the limits of a request."""

    model: str
    version: int
    labels: list[str]
    threshold: float | None
    precision: float | None
    accuracy: dict[str, Interval]
    f1_macro: dict[str, Interval]
    limits: dict[str, int]


class Predictions(BaseModel):
    """TensorFlow Serving's answer in the row format: for each instance the probabilities in the order of the labels."""

    model_config = _example({"predictions": [list(_P.values())]})
    predictions: list[list[float]]


class Outputs(BaseModel):
    """TensorFlow Serving's answer in the column format."""

    outputs: list[list[float]]


class Said(BaseModel):
    """A state in a word."""

    model_config = _example({"status": "ok"})
    status: str
