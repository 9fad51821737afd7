"""The faces that a page may show: which ones, and in which order."""

from pipeline.campaign.kept import Kept
from pipeline.campaign.mix import Ad
from pipeline.campaign.reading import Shot
from pipeline.labels import LABELS


def shot(name: str, *sure: float, second: float | None = None, shows: str = "") -> Shot:
    """A picture or frame with faces of which the model is so sure; those that show the same have the same picture."""
    faces = [
        {"predicted_emotion_label": LABELS[0], "certain": each > 0.5, "class_probabilities": {LABELS[0]: each}}
        for each in sure
    ]
    jpegs = [(shows or f"{name} {second} {each}").encode() for each in sure]
    return Shot(Ad(name, "picture"), second, answer={"faces": faces}, thumbnails=jpegs)


def chosen(shots: list[Shot], most: int) -> dict[str, list[tuple[str, float]]]:
    kept = Kept(most, 5)
    for each in shots:
        kept.add(each)
    return {which: [(face["file"], face["share"]) for face in faces] for which, faces in kept.faces().items()}


def test_the_surest_and_the_least_sure_are_kept_each_in_its_order_and_one_of_a_picture():
    shots = [shot("a", 0.5), shot("b", 0.9, 0.95, 0.3), shot("c", 0.7), shot("d", 0.99), shot("e", 0.4), shot("f", 0.6)]
    assert chosen(shots, 3) == {
        "most": [("d", 0.99), ("b", 0.95), ("c", 0.7)],
        "least": [("b", 0.3), ("e", 0.4), ("a", 0.5)],
    }
    assert chosen(shots, 0) == {"most": [], "least": []}


def test_of_faces_that_are_as_sure_the_first_stay():
    first = [("a", 0.8), ("b", 0.8)]
    assert chosen([shot(name, 0.8) for name in "abcd"], 2) == {"most": first, "least": first}


def test_of_a_block_of_a_video_there_is_one_and_of_a_slide_that_stays_for_many_too():
    film = [shot("film", 0.5 + second / 100, second=second) for second in range(12)]
    assert chosen(film, 9)["most"] == [("film", 0.61), ("film", 0.59), ("film", 0.54)]
    assert chosen(film, 9)["least"] == [("film", 0.5), ("film", 0.55), ("film", 0.6)]
    slide = [shot("slide", 0.8, second=second, shows="slide") for second in range(60)]
    assert chosen([*slide, *film], 9)["most"] == [("slide", 0.8), *chosen(film, 9)["most"]]


def test_a_face_of_the_place_of_one_and_the_picture_of_another_stands_for_both_or_for_neither():
    film = [shot("film", 0.5, second=0, shows="X"), shot("film", 0.6, second=6, shows="Y")]
    assert chosen([*film, shot("film", 0.7, second=1, shows="Y")], 9) == {
        "most": [("film", 0.7)],
        "least": [("film", 0.5), ("film", 0.6)],
    }
    assert chosen([*film, shot("film", 0.55, second=1, shows="Y")], 9)["most"] == [("film", 0.6), ("film", 0.5)]
