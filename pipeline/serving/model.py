"""The exported model: a folder with manifest.json and LiteRT files, checked before it is used.

manifest.json says what the model is: its labels in the order of its outputs, its input (size, channels), temperature
and threshold for saying "not sure", its figures on valid and test, and the SHA-256 of each file.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from pipeline.exporting import names
from pipeline.labels import LABELS
from pipeline.reporting.temperature import calibrated
from pipeline.running.errors import UserError
from pipeline.serving.schema import Interval

FILE = names.litert("float16")


class Manifest(BaseModel):
    """What of manifest.json is relied on."""

    model_config = ConfigDict(strict=True)
    model: str
    version: PositiveInt
    labels: list[str]
    size: PositiveInt
    channels: Literal[1, 3]
    temperature: float = Field(gt=0, allow_inf_nan=False)
    threshold: float
    precision: float
    accuracy: dict[str, Interval]
    f1_macro: dict[str, Interval]
    answers: dict[str, Interval] = {}  # this and the next are not in exports of older versions
    caution: str = ""  # why the figures may flatter
    files: dict[str, str]


class Model:
    """An exported emotion model. `predict` and `raw` may be called from several threads; they take turns.

    about: the manifest. shape: (size, size, channels) of an image. identity: what tells one export from another.
    """

    def __init__(self, folder: Path, batch_sizes: Sequence[int], threads: int):
        """Read, check and warm up. UserError when a file is missing, damaged or not of this project's labels."""
        self.about, content = read(folder)
        self.shape = (self.about["size"], self.about["size"], self.about["channels"])
        self.identity = hashlib.sha256(json.dumps(self.about).encode() + content).hexdigest()
        self._order = [self.about["labels"].index(label) for label in LABELS]
        self._turn = threading.Lock()
        try:
            # An interpreter for each batch size: changing the size of one packs its weights anew, up to a second.
            sizes = sorted({1, *batch_sizes}, reverse=True)  # with 1, any number of faces is a sum of them
            self._runs = {n: _Run(content, (n, *self.shape), threads) for n in sizes}
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{folder / FILE}: not a LiteRT model of images {self.shape} ({error})") from None

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 [N, 7] in the order of LABELS, of uint8 [N, size, size, channels]."""
        return calibrated(self.raw(images), self.about["temperature"])

    def raw(self, images: np.ndarray) -> np.ndarray:
        """The model's own probabilities, float32: `predict` without the temperature."""
        parts, start = [], 0
        with self._turn:
            for size, run in self._runs.items():
                while len(images) - start >= size:
                    parts.append(run(images[start : start + size]))
                    start += size
        return np.concatenate([np.empty((0, len(LABELS)), np.float32), *parts])[:, self._order]

    def certain(self, probabilities: np.ndarray) -> np.ndarray:
        """Whether the highest of each row is above the threshold, bool [N]."""
        return probabilities.max(axis=1, initial=0) > self.about["threshold"]


class _Run:
    """One batch size of a model."""

    def __init__(self, content: bytes, shape: tuple[int, ...], threads: int):
        self.interpreter = Interpreter(model_content=content, num_threads=threads)
        given = self.interpreter.get_input_details()[0]
        if given["dtype"] is not np.uint8:
            raise ValueError(f"its input is {given['dtype'].__name__}, not uint8")
        self.input, self.output = given["index"], self.interpreter.get_output_details()[0]["index"]
        self.interpreter.resize_tensor_input(self.input, shape, strict=True)
        self.interpreter.allocate_tensors()
        found = self(np.zeros(shape, np.uint8)).shape
        if found != (shape[0], len(LABELS)):
            raise ValueError(f"its output is {found}, not {(shape[0], len(LABELS))}")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.input, images)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)


def read(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest and the bytes of FILE, which are those that the manifest's SHA-256 is of; UserError otherwise."""
    again, manifest = "export it again", folder / names.MANIFEST
    try:
        about = json.loads(manifest.read_bytes())
        content = (folder / FILE).read_bytes()
        known = Manifest.model_validate(about)
        about |= {"caution": known.caution, "answers": known.model_dump()["answers"]}
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: not there; expected an exported model in {folder}") from None
    except OSError as error:  # such as a file where a folder has to be
        raise UserError(f"{error.filename}: {error.strerror}; expected an exported model in {folder}") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"])) or "all of it"
        raise UserError(f"{manifest}: {where}: {wrong['msg']}; {again}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{manifest}: not JSON; {again}") from None
    if sorted(about["labels"]) != sorted(LABELS):
        raise UserError(f"{manifest}: labels {about['labels']}; expected {', '.join(LABELS)}")
    if hashlib.sha256(content).hexdigest() != about["files"].get(FILE):
        raise UserError(f"{folder / FILE}: its SHA-256 is not the manifest's, so it is not what was exported; {again}")
    return about, content
