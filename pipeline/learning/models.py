"""Architectures: uint8 images in, probabilities of the seven emotions out.

A model file in conf/model/ names one of these builders as `build._target_`; `layer_stack` reads an architecture that is
a plain list of layers, so that a new one needs no Python. Every model takes uint8 [N, size, size, channels] with values
0..255, scales to 0..1 inside, and returns float32 [N, 7] in the order of `pipeline.labels.LABELS`: training, export and
service cannot disagree about either.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as kl

from pipeline.labels import LABELS
from pipeline.running.config import built
from pipeline.running.errors import UserError

CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")  # run what they are given
TRAINED_ON = "trained_on.json"  # in a .keras file, beside its labels.json


def build(choice: Mapping[str, Any], size: int, channels: int) -> keras.Model:
    """The untrained model that a file of conf/model/ describes; UserError, naming the file, when it describes none.

    Likewise for one that could not be loaded or evaluated after its training: with other layers than Keras's own, or
    without a probability of each emotion.
    """
    model = built("model", choice, size=size, channels=channels, _convert_="all")
    if fault := _unfit(model, size, channels):
        raise UserError(f"model={choice['name']}: {choice['build']['_target_']} {fault}")
    return model


def _unfit(model: Any, size: int, channels: int) -> str | None:
    """Why a model can't be used in this project, in words; None when it can."""
    if not isinstance(model, keras.Model):
        return f"returns {type(model).__name__}; expected a keras.Model"
    try:
        foreign = _foreign(keras.saving.serialize_keras_object(model))
        takes = model.input_shape
    except (NotImplementedError, AttributeError):
        return "returns a class of its own; expected keras.Model(inputs, outputs), which can be saved"
    if foreign:
        return f"uses {foreign}, which may run any code; build it of Keras's own layers"
    if takes != (expected := (None, size, size, channels)):
        return f"takes images of shape {takes}; expected {expected}, the size and channels that it is given"
    if len(model.outputs) != 1:
        return f"has {len(model.outputs)} outputs; expected one, a probability of each emotion"
    said = np.asarray(model(np.zeros((1, size, size, channels), np.uint8)))
    if said.shape != (1, len(LABELS)) or (said < 0).any() or abs(said.sum() - 1) > 0.01:
        return f"gives no probability of each emotion; end it with Dense({len(LABELS)}, activation='softmax')"
    return None


def layer_stack(layers: Sequence[str | Mapping], size: int, channels: int) -> keras.Model:
    """A plain stack of `layers`, then the softmax over the emotions.

    An entry is `pool` (2x2 max), `norm` (batch normalisation), `flatten`, `{conv: filters}` (3x3, ReLU; `padding:
    valid` instead of same), `{dense: units}` (ReLU) or `{dropout: rate}`. Raises UserError for any other entry, for one
    that does not fit what comes before it, and when no `flatten` ends the image.
    """
    image = keras.Input((size, size, channels), dtype="uint8", name="image")
    x = kl.Rescaling(1 / 255, name="scale")(image)
    for position, entry in enumerate(layers, 1):
        try:
            x = _layer(entry, position)(x)
        except ValueError as error:  # Keras's, for a size that does not fit or a padding it does not know
            raise UserError(f"model.build.layers, entry {position}: {entry}: {str(error).splitlines()[0]}") from error
    if len(x.shape) != 2:
        raise UserError("model.build.layers: an image is left at their end; add flatten")
    return keras.Model(image, _emotions(x), name="layer_stack")


def _layer(entry: str | Mapping, position: int) -> keras.Layer:
    match {entry: None} if isinstance(entry, str) else dict(entry):
        case {"conv": int(filters), **rest} if set(rest) <= {"padding"}:
            padding = rest.get("padding", "same")
            return kl.Conv2D(filters, 3, padding=padding, activation="relu", name=f"conv_{position}")
        case {"dense": int(units), **rest} if not rest:
            return kl.Dense(units, activation="relu", name=f"dense_{position}")
        case {"dropout": int() | float() as rate, **rest} if not rest:
            return kl.Dropout(rate, name=f"dropout_{position}")
        case {"pool": None}:
            return kl.MaxPooling2D(2, name=f"pool_{position}")
        case {"norm": None}:
            return kl.BatchNormalization(name=f"norm_{position}")
        case {"flatten": None}:
            return kl.Flatten(name=f"flatten_{position}")
    raise UserError(
        f"model.build.layers, entry {position}: {entry} is not a layer; expected pool, norm, flatten, "
        "{conv: filters}, {conv: filters, padding: valid}, {dense: units} or {dropout: rate}"
    )


def compact(
    crop: int,
    stem: int,
    blocks: Sequence[Mapping],
    squeeze_ratio: int,
    dropout: float,
    size: int,
    channels: int,
    smooth: float,
) -> keras.Model:
    """A small residual net for the CPU: plain 3x3 convolutions at low resolution after a stride-2 stem.

    First a share `smooth` of each pixel is replaced by the mean of the three about it in its column, then in its row,
    and `crop` pixels are cut from each border. Each of `blocks` is `{width, stride, squeeze}`: a basic block (He et
    al. 2016, "Deep Residual Learning", fig. 2 and option B shortcut), with squeeze-and-excitation (Hu et al. 2018) of
    `squeeze_ratio` where `squeeze` is true.
    """
    image = keras.Input((size, size, channels), dtype="uint8", name="image")
    x = kl.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    if smooth:
        x = _smoothed(x, smooth)
    x = kl.Cropping2D(crop, name="crop")(x)
    x = _conv_norm(x, stem, 3, 2, "stem")
    x = kl.ReLU(name="stem_relu")(x)
    for number, block in enumerate(blocks, 1):
        ratio = squeeze_ratio if block["squeeze"] else None
        x = _residual_block(x, block["width"], block["stride"], ratio, f"block_{number}")
    x = kl.GlobalAveragePooling2D(name="average")(x)
    x = kl.Dropout(dropout, name="dropout")(x)
    return keras.Model(image, _emotions(x), name="compact")


def _smoothed(x, share: float):
    for axis, three in (("column", (3, 1)), ("row", (1, 3))):
        mean = kl.AveragePooling2D(three, strides=1, padding="same", name=f"{axis}_mean")(x)
        parts = [kl.Rescaling(1 - share, name=f"{axis}_own")(x), kl.Rescaling(share, name=f"{axis}_shared")(mean)]
        x = kl.Add(name=f"{axis}_smoothed")(parts)
    return x


def _residual_block(x, width: int, stride: int, squeeze_ratio: int | None, name: str):
    shortcut = x
    if stride > 1 or x.shape[-1] != width:
        shortcut = _conv_norm(x, width, 1, stride, f"{name}_shortcut")
    x = _conv_norm(x, width, 3, stride, f"{name}_a")
    x = kl.ReLU(name=f"{name}_a_relu")(x)
    x = _conv_norm(x, width, 3, 1, f"{name}_b")
    if squeeze_ratio:
        x = _squeeze_excite(x, squeeze_ratio, f"{name}_squeeze")
    return kl.ReLU(name=f"{name}_relu")(kl.Add(name=f"{name}_add")([x, shortcut]))


def _conv_norm(x, width: int, kernel: int, stride: int, name: str):
    # No bias: the batch normalisation after it has one.
    x = kl.Conv2D(width, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(x)
    return kl.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)


def _squeeze_excite(x, ratio: int, name: str):
    width = x.shape[-1]
    gate = kl.GlobalAveragePooling2D(keepdims=True, name=f"{name}_average")(x)
    gate = kl.Conv2D(width // ratio, 1, activation="relu", name=f"{name}_reduce")(gate)
    gate = kl.Conv2D(width, 1, activation="sigmoid", name=f"{name}_expand")(gate)
    return kl.Multiply(name=f"{name}_gate")([x, gate])


def _emotions(x):
    # float32 whatever the policy: a softmax in half precision loses the small probabilities.
    return kl.Dense(len(LABELS), activation="softmax", dtype="float32", name="emotion")(x)


@contextmanager
def calculating_in(model: keras.Model, precision: str) -> Iterator[None]:
    """Within it the layers of `model`, and what is traced of them, calculate in `precision`, a dtype policy of Keras.

    Not the layer that gives what the model says, in any architecture as in `_emotions`, and none that has a policy of
    its own. Weights stay float32.
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if layer.dtype_policy.name == "float32"]
    last = model
    while isinstance(last, keras.Model):  # the last layer may be a model itself
        last = last.outputs[0]._keras_history.operation
        layers = [layer for layer in layers if layer is not last]
    for layer in layers:
        layer.dtype_policy = precision
    try:
        yield
    finally:
        for layer in layers:
            layer.dtype_policy = "float32"


def save(model: keras.Model, path: str | Path, trained_on: Mapping[str, str] | None = None) -> None:
    """Write the model alone (no optimizer) as `.keras`, with the names of its outputs inside as labels.json.

    trained_on: for one that will lie in no run's folder, what `trained_on` is to find, as in a run.json.
    Equal models have equal files, and so equal digests: Keras would write the time and addresses in memory into them.
    """
    numbers: dict[int, int] = {}

    def numbered(found: dict) -> dict:
        if "shared_object_id" in found:  # which objects are one
            found["shared_object_id"] = numbers.setdefault(found["shared_object_id"], len(numbers))
        return found

    keras.saving.save_model(model, path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["config.json"] = json.dumps(json.loads(files["config.json"], object_hook=numbered))
    files["metadata.json"] = json.dumps(json.loads(files["metadata.json"]) | {"date_saved": ""})
    files["labels.json"] = json.dumps(LABELS)
    if trained_on:
        files[TRAINED_ON] = json.dumps(dict(trained_on))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980, as a zip is without a date


def trained_on(path: str | Path) -> dict[str, str]:
    """What `save` was told of the training of the model at `path`; empty where it was told nothing, or is no model."""
    with suppress(OSError, KeyError, ValueError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(TRAINED_ON))
    return {}


def load(path: str | Path) -> keras.Model:
    """A model written by `save`; UserError when it is none, its outputs are not `LABELS` in order, or it holds code.

    Only what Keras itself builds in is loaded, and no Lambda: everything else in a file is code that would run here.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            labels = tuple(json.loads(archive.read("labels.json")))
            foreign = _foreign(json.loads(archive.read("config.json")))
        if foreign:
            raise UserError(f"{path}: holds {foreign}, which may run any code; build it of Keras's own layers")
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except FileNotFoundError:
        raise UserError(f"{path}: not there; train it again") from None
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: is not a model this project saved ({reason}); train it again") from error
    if labels != LABELS:
        raise UserError(
            f"{path}: its outputs are {list(labels)}, expected {list(LABELS)} in this order; train it again"
        )
    return model


def _foreign(config: Any) -> str | None:
    """The first thing in a model's config that is not one of Keras's own, or runs what it is given; None if all are."""
    if isinstance(config, list):
        return next(filter(None, map(_foreign, config)), None)
    if not isinstance(config, dict):
        return None
    name, module = config.get("class_name"), config.get("module")
    known = module is None or module == "builtins" or f"{module}.".startswith("keras.")
    if name in CODE or not known or config.get("registered_name") not in (None, name):
        return f"{module}.{name}" if module else str(name)
    return next(filter(None, map(_foreign, config.values())), None)
