"""Faces in pictures: found at any size, and not where there are none. Real photographs: benchmarks/detectors.py."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pipeline.drawing.camera import backdrop
from pipeline.drawing.dirt import placeholder
from pipeline.serving.faces import Detector, Detectors, Face, cut_out, pieces, tiles
from serving.drawn import SAMPLES, group, portrait


@pytest.fixture(scope="module")
def detector(face_settings) -> Detector:
    return Detector(face_settings)


@pytest.fixture(scope="module")
def people() -> Image.Image:
    return group([("happy", 41), ("surprise", 24), ("happy", 33)], 5)


def centres(faces: list[Face]) -> np.ndarray:
    return np.array(sorted((face.x + face.width / 2, face.y + face.height / 2) for face in faces))


def test_each_face_of_a_group_is_found_once_in_any_size_of_the_picture(detector, people):
    small = centres(detector.find(np.asarray(people)))
    assert len(small) == 3
    for scale in (0.3, 2.5):
        size = (round(people.width * scale), round(people.height * scale))
        found = centres(detector.find(np.asarray(people.resize(size)))) / scale
        assert np.abs(found - small).max() < 30, scale


def test_a_small_face_in_a_large_picture_is_found_by_the_tiles(detector, face_settings):
    wide = np.full((900, 1400, 3), 128, np.uint8)
    wide[600:664, 1200:1264] = np.asarray(portrait().resize((64, 64)))
    (face,) = detector.find(wide)
    assert 1190 < face.x < 1240 and 590 < face.y < 640
    assert not Detector(face_settings | {"tile_from": 10_000}).find(wide)


@pytest.mark.parametrize("side", (48, 112, 320))
def test_a_cropped_face_is_one_face(detector, face_settings, side):
    crop = portrait().crop((30, 20, 290, 300)).resize((side, side))
    (face,) = detector.find(np.asarray(crop))
    assert 0.4 * side < face.x + face.width / 2 < 0.6 * side and face.width * face.height > 0.3 * side**2
    assert not Detector(face_settings | {"threshold": 0.99}).find(np.full((side, side, 3), 90, np.uint8))


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (300, 300), (600, 800)])
def test_a_face_that_fills_a_picture_is_cut_out_of_it_without_being_squeezed(detector, face_settings, shape):
    """Read as a whole, such pictures were read rightly up to 12 points less often."""
    picture, side = np.full((*shape, 3), 110, np.uint8), min(shape)
    picture[-side:, -side:] = np.asarray(portrait().crop((30, 20, 290, 300)).resize((side, side)))
    (face,) = detector.find(picture)
    assert face.width * face.height > 0.3 * shape[0] * shape[1]
    height, width = cut_out(picture, face, face_settings["frame"]).shape[:2]
    assert 0.85 < height / width < 1.15 and height < 1.05 * side


def test_small_faces_are_looked_for_unless_one_fills_a_small_picture(face_settings, people, monkeypatch):
    detector, looks = Detector(face_settings), []
    find = detector.full.find
    monkeypatch.setattr(detector.full, "find", lambda *given: looks.append(given) or find(*given))
    crop = portrait().crop((30, 20, 290, 300)).resize((112, 112))
    assert len(detector.find(np.asarray(crop))) == 1 and not looks
    beside = Image.new("RGB", (256, 200), (120, 120, 120))
    beside.paste(portrait(side=200), (0, 0))
    beside.paste(portrait("sad", 53, 72), (184, 10))
    assert len(detector.find(np.asarray(beside))) == 2 and looks
    looks.clear()
    assert len(detector.find(np.asarray(portrait(side=320)))) == 1 and looks  # not small


def test_wrong_8_a_picture_without_a_face_is_not_taken_as_one(detector):
    rng = np.random.default_rng(0)
    without = [np.asarray(backdrop(int(side), rng)) for side in rng.integers(48, 600, 30)]
    without += [rng.integers(0, 256, (side, side, 3), np.uint8) for side in (1, 8, 48, 112, 400)]
    without += [np.full((48, 48, 3), level, np.uint8) for level in (0, 128, 255)]
    cards = [Image.open(io.BytesIO(placeholder(kind, 112, rng))).convert("RGB") for kind in range(12)]
    without += [np.asarray(card) for card in cards]
    assert [len(detector.find(each)) for each in without] == [0] * len(without)


def test_a_panorama_and_a_strip_of_one_pixel_are_looked_at(detector, face_settings):
    panorama = np.full((300, 9000, 3), 90, np.uint8)
    panorama[60:260, 7000:7200] = np.asarray(portrait().resize((200, 200)))
    (face,) = detector.find(panorama)
    assert 6980 < face.x < 7150
    assert len(list(tiles(300, 9000, face_settings))) >= 30  # a tile has to be as high as the picture at most
    for shape in ((1, 40, 3), (40, 1, 3), (1, 1, 3)):
        assert detector.find(np.zeros(shape, np.uint8)) == []


def test_tiles_cover_every_pixel_and_stay_few(face_settings):
    for height, width in ((400, 401), (564, 800), (960, 5000), (401, 60), (960, 1280)):
        covered = np.zeros((height, width), bool)
        for x, y, wide, high in tiles(height, width, face_settings):
            assert x >= 0 and y >= 0 and x + wide <= width and y + high <= height
            covered[y : y + high, x : x + wide] = True
        assert covered.all(), (height, width)
    assert list(tiles(400, 300, face_settings)) == []


@pytest.mark.parametrize("length", (3600, 6000, 8000))
def test_a_face_as_large_as_a_strip_is_wide_is_found_wherever_it_is(detector, length):
    for seed, top in enumerate(np.random.default_rng(length).integers(0, length - 300, 3)):
        strip = np.full((length, 300, 3), 110, np.uint8)
        strip[top : top + 300] = np.asarray(portrait(seed=seed).resize((300, 300)))
        (face,) = detector.find(strip)
        assert top < face.y + face.height / 2 < top + 300


def test_pieces_of_a_strip_hold_each_face_as_large_as_it_is_wide(face_settings):
    for height, width in ((300, 6000), (6100, 300), (250, 777)):
        short, long = sorted((height, width))
        spans = [(x, x + w) if width == long else (y, y + h) for x, y, w, h in pieces(height, width, face_settings)]
        assert all(any(a <= at and at + short <= b for a, b in spans) for at in range(0, long - short, 7))
    assert list(pieces(600, 1000, face_settings)) == []


def test_a_face_is_cut_out_as_a_square_around_it_within_the_picture(face_settings):
    rgb = np.arange(100 * 80 * 3, dtype=np.uint32).reshape(100, 80, 3).astype(np.uint8)
    middle = cut_out(rgb, Face(30, 40, 20, 20, 1), face_settings["frame"])
    assert middle.shape[0] == middle.shape[1] and 20 < middle.shape[0] < 26
    assert cut_out(rgb, Face(70, 90, 10, 10, 1), face_settings["frame"]).size


def test_the_detector_finds_the_faces_of_the_pages_samples(detector):
    counts = {file.stem: len(detector.find(np.asarray(Image.open(file)))) for file in SAMPLES.glob("*.jpg")}
    assert counts == {"three": 3, "portrait": 1, "audience": 5, "empty": 0}


def test_each_thread_has_a_detector_of_its_own_and_keeps_it(face_settings):
    detectors = Detectors(face_settings)
    with ThreadPoolExecutor(1) as other:
        there = [other.submit(lambda: detectors.own).result() for _ in range(2)]
    assert there[0] is there[1] and there[0] is not detectors.own and detectors.own is detectors.own


def test_what_is_cut_out_lies_higher_than_the_found_face_by_the_lift(face_settings):
    rows = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 200, 3))  # each its own number
    middle = cut_out(rows, Face(80, 80, 50, 50, 1), face_settings["frame"]).mean()
    assert middle == pytest.approx(105 - face_settings["frame"]["lift"] * 50, abs=1) and middle < 103
