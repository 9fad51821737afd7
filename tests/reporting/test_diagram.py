import re
from xml.etree import ElementTree

import keras
import pytest
from keras import layers as kl

from pipeline.reporting import diagram
from pipeline.running.cli import CONF

STUDY = {
    "model_1_concept": "4,708,615 parameters with rgb, 4,708,039 with grayscale",
    "model_2_best": "14,261,319 parameters with rgb, 14,260,743 with grayscale",
    "model_3_best_nodropout": "14,261,319 parameters with rgb, 14,260,743 with grayscale",
    "model_4_best_nodropout_nobatchn": "14,249,671 parameters with rgb, 14,249,095 with grayscale",
}


@pytest.mark.parametrize("name", STUDY)
def test_the_studys_architectures_are_drawn_with_its_parameter_counts(name):
    drawn = diagram.draw(CONF / "model" / f"{name}.yaml", 48)
    ElementTree.fromstring(drawn)
    assert STUDY[name] in drawn
    assert "46 × 46 × 32" in drawn and "convolution 3×3, 32, valid, relu" in drawn
    assert "dense 7, softmax" in drawn


def test_shortcuts_are_drawn_as_arcs_and_no_layer_is_left_out():
    image = keras.Input((8, 8, 3), name="image")
    x = kl.Conv2D(3, 3, padding="same", strides=1, use_bias=False, name="a")(image)
    model = keras.Model(image, kl.Add(name="sum")([x, image]))
    rows = diagram.rows(model)
    assert [(row.does, row.shape, row.parameters, row.inputs) for row in rows] == [
        ("image, float32", (8, 8, 3), 0, ()),
        ("convolution 3×3, 3, same", (8, 8, 3), 81, (0,)),
        ("add", (8, 8, 3), 0, (0, 1)),
    ]
    drawn = diagram.svg(rows, "a <b> & c", "81 parameters")
    assert len(re.findall(r'stroke="#c1440e"', drawn)) == 2  # an arc and its point
    assert ElementTree.fromstring(drawn).find("{*}title").text.startswith("a <b> & c: 3 layers")


def test_a_sequential_model_is_drawn_as_any_other():
    model = keras.Sequential([keras.Input((8, 8, 3)), kl.Conv2D(3, 3, name="a"), kl.Flatten(name="flat")])
    assert [(row.name, row.inputs) for row in diagram.rows(model)][1:] == [("a", (0,)), ("flat", (1,))]
