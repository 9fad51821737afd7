"""An exported LiteRT file as a Keras model again: the same answers, its weights as good as float16 stores them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from pipeline.exporting import litert
from pipeline.learning import models
from pipeline.running.errors import UserError

# A manifest is data: it chooses among these, and neither names nor holds code that would be run.
BUILDERS = {f"{builder.__module__}.{builder.__name__}": builder for builder in (models.compact, models.layer_stack)}


def restored(file: Path, architecture: Mapping[str, Any], size: int, channels: int) -> keras.Model:
    """The Keras model whose weights are in `file`, a float32 or float16 LiteRT file that export wrote.

    `architecture` is the `build` of a file of conf/model/. Batch normalisation that the converter folded into the layer
    beside it comes back as an identity beside a layer that does its work: right for prediction; what a training goes on
    from is measured anew (`pipeline.learning.earlier`). UserError when the architecture is not the file's.
    """
    values = dict(architecture)
    builder = BUILDERS.get(str(values.pop("_target_", None)))
    if builder is None:
        raise UserError(f"architecture {architecture.get('_target_')}: expected one of {', '.join(BUILDERS)}")
    try:
        model = builder(**values, size=size, channels=channels)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"architecture {architecture['_target_']}: {str(error).splitlines()[0]}") from error
    tensors = _constants(file)
    scale = 1.0  # of the images, where the converter multiplied the first kernel by it
    for layer in model.layers:
        if layer.name == "scale":
            scale = 1.0 if _of(layer, r"\w[\w/]*", tensors) else layer.scale
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(_norm(layer, tensors))
        elif layer.weights:
            kernel, bias = _kernel(layer, tensors, file)
            layer.set_weights([kernel / scale, bias] if layer.use_bias else [kernel / scale])
            scale = 1.0
    return model


def difference(model: keras.Model, file: Path) -> float:
    """By how much a probability of the model differs from the file's, at most, on 64 images of noise and plain gray."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (32, *model.input_shape[1:]))
    plain = np.broadcast_to(np.linspace(0, 255, 32)[:, None, None, None], noise.shape)
    images = np.concatenate([noise, plain]).astype(np.uint8)
    return float(np.abs(model.predict_on_batch(images) - litert.predictor(file)(images)).max())


def _constants(file: Path) -> list[tuple[str, np.ndarray]]:
    """The weights that a LiteRT file stores, float32, each with the names of the operations that they are of."""
    interpreter = Interpreter(str(file))
    found = []
    for tensor in interpreter.get_tensor_details():
        try:
            value = interpreter.get_tensor(tensor["index"])
        except ValueError:  # it is computed, not stored
            continue
        if value.dtype in (np.float16, np.float32):
            found.append((tensor["name"], value.astype(np.float32)))
    return found


def _of(layer: keras.Layer, operations: str, tensors: list[tuple[str, np.ndarray]]) -> list[np.ndarray]:
    # The exporter numbers a model's names anew, so that stem_conv is stem_conv_1 there.
    named = re.compile(rf"/{re.escape(layer.name)}(_\d+)?/({operations})(;|\d*$)")
    return [value for name, value in tensors if named.search(name)]


def _kernel(layer: keras.Layer, tensors: list[tuple[str, np.ndarray]], file: Path) -> tuple[np.ndarray, np.ndarray]:
    # LiteRT has the outputs first: [out, height, width, in] and [out, in].
    found = [np.moveaxis(value, 0, -1) for value in _of(layer, "convolution|MatMul|BiasAdd", tensors)]
    shape = tuple(layer.kernel.shape)
    kernel = next((value for value in found if value.shape == shape), None)
    if kernel is None:
        raise UserError(f"{file}: has no weights {shape} of a layer {layer.name}; it is of another architecture")
    # A bias of zeros, as an untrained one, isn't stored.
    bias = next((value for value in found if value.shape == shape[-1:]), np.zeros(shape[-1]))
    return kernel, bias


def _norm(layer: keras.layers.BatchNormalization, tensors: list[tuple[str, np.ndarray]]) -> list[np.ndarray]:
    """Gamma, beta, mean and variance that do what the file's tensors of this layer do."""
    width = layer.gamma.shape[0]
    own = [(name, value) for name, value in tensors if "BiasAdd" not in name and value.shape == (width,)]
    scale = _of(layer, "batchnorm/mul", own)
    shift = _of(layer, r"batchnorm/\w+", own)[-1:]
    one, zero = np.ones(width), np.zeros(width)
    return [*(scale or [one])[:1], *(shift or [zero]), zero, one - layer.epsilon]
