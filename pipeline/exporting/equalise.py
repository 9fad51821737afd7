"""Makes a model fit for integers: the values of a layer get one range, without a change of what the model says."""

import keras
import numpy as np


def equalised(model: keras.Model) -> keras.Model:
    """A copy of the model in which what goes into a batch normalisation has a standard deviation of 1 in each channel.

    An int8 layer has 256 steps for all its channels; where one of them ranges to 200 and the next to 1, nothing is left
    of the next. A ReLU lets a factor above 0 through, so a convolution's or dense layer's weights can be divided by the
    deviation that the normalisation after it has learnt, and the normalisation told so (the scaling equivariance of
    Nagel, van Baalen, Blankevoort & Welling 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", ICCV, sec. 4.1). A normalisation straight after a convolution needs none: the converter merges the two.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for norm in copy.layers:
        if isinstance(norm, keras.layers.BatchNormalization) and (layer := _scalable(norm)):
            *own, mean, variance = norm.get_weights()  # gamma and beta, where it has them
            deviation = np.sqrt(variance + norm.epsilon)
            layer.set_weights([weights / deviation for weights in layer.get_weights()])
            norm.set_weights([*own, mean / deviation, np.full_like(variance, 1 - norm.epsilon)])
    return copy


def _scalable(norm: keras.layers.BatchNormalization) -> keras.Layer | None:
    """The layer with a ReLU whose output `norm` alone takes; None where something else comes before it."""
    layer = norm.input._keras_history.operation
    relu = isinstance(layer, keras.layers.Conv2D | keras.layers.Dense) and layer.activation is keras.activations.relu
    return layer if relu and len(layer._outbound_nodes) == 1 else None
