"""An equalised model says the same with even channels, which is what int8 needs."""

import keras
import numpy as np
import pytest

from pipeline.exporting import litert, savedmodel
from pipeline.exporting.equalise import equalised
from pipeline.learning import models

LAYERS = [{"conv": 4}, "norm", "pool", "pool", "flatten", {"dense": 16}, "norm"]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def uneven(images):
    """A model whose dense layer gives values of very different ranges, as training may leave them."""
    keras.utils.set_random_seed(0)
    model = models.layer_stack(LAYERS, 16, 3)
    dense, norm, emotion = model.get_layer("dense_6"), model.get_layer("norm_7"), model.get_layer("emotion")
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel * np.geomspace(0.3, 300, 16), bias])
    values = keras.Model(model.inputs, dense.output).predict(images, verbose=0)
    norm.set_weights([*norm.get_weights()[:2], values.mean(0), values.var(0)])
    emotion.set_weights([emotion.get_weights()[0] * 3, emotion.get_weights()[1]])
    return model


def test_an_equalised_model_says_the_same_and_its_channels_are_even(uneven, images):
    even = equalised(uneven)
    # CPUs add in other orders
    assert np.allclose(even.predict(images, verbose=0), uneven.predict(images, verbose=0), atol=1e-4)
    values = keras.Model(even.inputs, even.get_layer("dense_6").output).predict(images, verbose=0)
    assert np.allclose(values.std(0)[values.std(0) > 0], 1, atol=0.3)
    assert not np.allclose(even.get_layer("dense_6").get_weights()[0], uneven.get_layer("dense_6").get_weights()[0])


def test_int8_agrees_better_with_a_model_of_even_channels(uneven, images, tmp_path):
    expected, same = uneven.predict(images, verbose=0).argmax(1), {}
    for name, model in (("uneven", uneven), ("even", equalised(uneven))):
        savedmodel.save(model, tmp_path / name)
        (tmp_path / f"{name}.tflite").write_bytes(litert.convert(tmp_path / name, "int8", images[:50]))
        same[name] = (litert.predictor(tmp_path / f"{name}.tflite")(images).argmax(1) == expected).mean()
    assert same["uneven"] < 0.8 < 0.95 < same["even"]


def test_what_more_than_a_normalisation_takes_or_has_no_relu_stays():
    blocks = [{"width": 4, "stride": 1, "squeeze": True}]
    compact = models.compact(0, 4, blocks, squeeze_ratio=2, dropout=0, size=8, channels=1, smooth=0.25)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(2, 3, activation="relu")(image)
    x = keras.layers.Concatenate()([keras.layers.BatchNormalization()(x), x])
    for model in (compact, keras.Model(image, keras.layers.Flatten()(x))):
        for before, after in zip(model.get_weights(), equalised(model).get_weights(), strict=True):
            assert np.array_equal(before, after)


@pytest.mark.parametrize("without", ({"scale": False}, {"center": False}, {"scale": False, "center": False}))
def test_a_normalisation_without_scale_or_centre_is_equalised_too(images, without):
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    norm = keras.layers.BatchNormalization(**without)
    model = keras.Model(image, keras.layers.Flatten()(norm(x)))
    *own, mean, variance = norm.get_weights()
    norm.set_weights([*own, mean + 2, variance * 9])
    even = equalised(model)
    said = [each.predict(images[:8].astype("float32"), verbose=0) for each in (model, even)]
    assert np.allclose(*said, atol=1e-3) and not np.allclose(model.get_weights()[0], even.get_weights()[0])
