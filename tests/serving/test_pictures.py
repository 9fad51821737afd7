"""What is cut out of a picture and which of its faces speaks for it."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from pipeline.labels import LABELS
from pipeline.serving.faces import Detector, Face
from pipeline.serving.pictures import describe, look
from serving.drawn import portrait


def test_crops_have_the_channels_of_the_picture_red_first(face_settings):
    red = np.full((120, 120, 3), (200, 0, 0), np.uint8)
    detector = SimpleNamespace(settings=face_settings, find=lambda rgb: [Face(40, 40, 48, 48, 1)])
    assert look(red, detector, (48, 48, 3)).crops.mean((0, 1, 2)).tolist() == [200, 0, 0]


def test_the_largest_face_comes_first_and_its_emotion_is_the_pictures(face_settings):
    picture = Image.new("RGB", (640, 280), (120, 120, 120))
    picture.paste(portrait(side=120), (20, 80))
    picture.paste(portrait(side=260), (360, 10))
    seen = look(np.asarray(picture), Detector(face_settings), (48, 48, 3))
    large, small = seen.faces
    assert large.x > 360 > 140 > small.x and large.width > 1.5 * small.width
    model = SimpleNamespace(certain=lambda p: p.max(1) > 0.5, about={"model": "tiny", "version": 1})
    answer = describe(seen, np.eye(7)[[3, 5]], model)
    assert answer["predicted_emotion_label"] == LABELS[3] and answer["faces"][0]["box"]["x"] == large.x
