"""The public encoding, which no sorting of folder names may change."""

import pytest

from pipeline.labels import FOLDERS, LABELS, SPLITS, index_of_folder


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


def test_a_folder_is_looked_up_by_name_and_not_by_its_place_in_the_alphabet():
    found = {folder: index_of_folder(folder) for folder in sorted(FOLDERS)}
    assert found == {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "neutral": 6, "sad": 4, "surprise": 5}


def test_every_emotion_has_one_folder():
    assert sorted(FOLDERS.values()) == sorted(LABELS)


@pytest.mark.parametrize("name", ["", "Happy", "happiness", "contempt", "happy "])
def test_any_other_folder_is_a_key_error(name):
    with pytest.raises(KeyError):
        index_of_folder(name)


def test_there_are_three_splits():
    assert SPLITS == ("train", "valid", "test")
