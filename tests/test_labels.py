"""The public encoding, which no sorting of folder names may change (tests/images/test_layout.py)."""

from pipeline.labels import FOLDERS, LABELS, SPLITS


def test_the_encoding_is_the_published_one():
    assert dict(enumerate(LABELS)) == {
        0: "anger",
        1: "disgust",
        2: "fear",
        3: "happiness",
        4: "sadness",
        5: "surprise",
        6: "neutral",
    }


def test_every_emotion_has_one_folder():
    assert sorted(FOLDERS.values()) == sorted(LABELS)


def test_there_are_three_splits():
    assert SPLITS == ("train", "valid", "test")
