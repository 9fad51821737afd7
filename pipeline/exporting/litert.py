"""LiteRT's form of a model (formerly TensorFlow Lite): one small file, run without TensorFlow, in three precisions."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from pipeline.exporting.names import INPUT, OUTPUT, SIGNATURE
from pipeline.running.cores import cores
from pipeline.running.progress import progress

PRECISIONS = ("float32", "float16", "int8")


def convert(saved_model: Path, precision: str, calibration: np.ndarray) -> bytes:
    """The SavedModel as a LiteRT file; whatever the precision inside, it takes uint8 images and returns float32 [N, 7].

    float16 stores weights in half precision and computes as float32. int8 computes with integers, whose ranges are
    those that the images of `calibration`, uint8 [N, size, size, channels], bring about in every layer. From the
    SavedModel, since the converter cannot read a model of Keras 3 (keras-team/keras#19108).
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), [SIGNATURE])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: (
            {INPUT: image[None]} for image in progress(calibration, len(calibration), "int8: calibrating")
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of its own interpreter's, which goes to ai_edge_litert
        return converter.convert()


def predictor(path: Path, threads: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """What the file answers, on `threads` or all cores: images uint8 [N, size, size, channels] to float32 [N, 7]."""
    runner = Interpreter(str(path), num_threads=threads or cores()).get_signature_runner(SIGNATURE)
    return lambda images: runner(**{INPUT: images})[OUTPUT]
