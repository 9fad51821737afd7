"""TensorFlow Serving's form of a model: a SavedModel with one signature, and the requests that warm it up."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from pipeline.exporting.names import INPUT, MODEL, OUTPUT, SIGNATURE


def save(model: keras.Model, folder: Path) -> None:
    """Write the model into `folder`: `image` uint8 [N, size, size, channels] in, `probabilities` float32 [N, 7] out.

    Not by `keras.Model.export`: of Keras 3.15, it writes every weight twice and names the output output_0.
    """
    batch = tf.TensorSpec(model.input_shape, tf.uint8, INPUT)

    @tf.function(input_signature=[batch], autograph=False)
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {OUTPUT: model(image, training=False)}

    for name in ("tensorflow", "absl"):  # they tell of each file and each renamed input
        logging.getLogger(name).setLevel(logging.ERROR)
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    tf.saved_model.save(module, str(folder), {SIGNATURE: serve})


def save_warm_up(folder: Path, image: Sequence[int], batch_sizes: Sequence[int]) -> None:
    """Put requests of these batch sizes where a server that loads the SavedModel in `folder` answers them first.

    `image` is the shape of one. They are gray all over: faces of the data set must not travel with a model. The file is
    a TFRecord of PredictionLog ("SavedModel Warmup" of TensorFlow Serving).
    """
    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as file:
        for size in batch_sizes:
            images = tf.make_tensor_proto(np.full((size, *image), 128, np.uint8))
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(name=MODEL, signature_name=SIGNATURE), inputs={INPUT: images}
            )
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            file.write(log.SerializeToString())


def predictor(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What the SavedModel in `folder` answers: images uint8 [N, size, size, channels] to float32 [N, 7]."""
    signature = tf.saved_model.load(str(folder)).signatures[SIGNATURE]
    return lambda images: signature(**{INPUT: tf.constant(images)})[OUTPUT].numpy()
