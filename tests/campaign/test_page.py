"""The page about a campaign: what its lists hold and its words say follows from the settings."""

import re

import numpy as np
import pytest

from pipeline.campaign.mix import SHOWN, Ad
from pipeline.campaign.page import make, moment
from pipeline.labels import LABELS
from pipeline.reporting.intervals import FEWEST

ABOUT = {"accuracy": {}, "answers": {}, "model": "compact", "version": 1, "threshold": 0.5, "caution": ""}


def made(ads: list[Ad], **settings) -> str:
    values = {"block_seconds": 5, "confidence": 0.95, "ads_shown": 9, "keep_faces": False, "frames_per_second": 2}
    return make("campaign", ads, {"most": [], "least": []}, ABOUT, values | settings)


@pytest.mark.parametrize(
    ("caution", "words"), [("", "it had never seen"), ("its teacher saw them", "of which it may have seen some before")]
)
def test_what_the_model_may_have_seen_is_told(monkeypatch, caution, words):
    figure = {"value": 0.5, "low": 0.48, "high": 0.52, "confidence": 0.9, "images": 2000}
    monkeypatch.setitem(ABOUT, "accuracy", {"test": figure})
    monkeypatch.setitem(ABOUT, "caution", caution)
    assert f"of 2,000 test pictures, each one face, {words} (90 % interval" in made([])


def test_how_often_it_is_right_where_it_is_sure_is_told(monkeypatch):
    figure = {"value": 0.5, "low": 0.48, "high": 0.52, "confidence": 0.9, "images": 2000}
    monkeypatch.setitem(ABOUT, "accuracy", {"test": figure})
    assert "It named" not in made([])
    monkeypatch.setitem(ABOUT, "answers", {"test": figure | {"value": 0.8, "images": 1400}})
    assert "It named 70\u00a0% of them and was right for 80.0\u00a0% of those (48.0\u00a0% to 52.0\u00a0%)." in made([])
    monkeypatch.setitem(ABOUT, "answers", {"test": figure})  # of all
    assert "It named" not in made([])


def test_lists_of_files_are_as_long_as_it_is_said_and_say_what_they_leave_out():
    faulty = [Ad(f"bad{n}.jpg", "", note="empty") for n in range(5)]
    without_face = [Ad(f"bare{n}.jpg", "picture", frames=1) for n in range(6)]
    page = made([*faulty, *without_face], ads_shown=2)
    assert page.count("<strong><bdi>bad") == 2 and "3 more in ads.xlsx" in page
    assert "bare0.jpg</bdi>, <bdi>bare1.jpg</bdi> and 4 more" in page and "bare2" not in page
    page = made([*faulty, *without_face], ads_shown=6)
    assert (
        page.count("<strong><bdi>bad") == 5 and "bare5.jpg" in page and " more" not in page.partition('id="missing"')[2]
    )


def test_pictures_and_videos_have_a_share_of_not_sure_each():
    pictures = [Ad(f"{n}.jpg", "picture", seen={0: np.eye(8, dtype=int)[7]}, frames=1) for n in range(10)]
    seen = {0: np.eye(8, dtype=int)[0] * 1000}
    film = Ad("film.mp4", "video", seen=seen, began=seen, frames=1000)
    page = re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", "", made([*pictures, film])))
    assert "No clear leadin the pictures; 100\u00a0% not clear enough to be named" in page
    assert "No clear leadin the videos; 0\u00a0% not clear enough" in page  # one block of one video
    assert "In its pictures, no expression stands out. 100\u00a0% could not be read clearly." in page


def test_faces_of_a_video_that_were_not_read_are_said_to_be_counted_at_each_look():
    seen = {0: np.eye(8, dtype=int)[0] * 3}
    picture = Ad("a.jpg", "picture", seen=seen, frames=1, too_small=1, not_read=2)
    film = Ad("b.mp4", "video", seen=seen, began=seen, frames=40, too_small=1200, not_read=1)
    page = made([picture, film])
    for words in (
        "Not counted: 1 face too small to read.",
        "Not counted: 1,200 readings too small to read.",
        "In pictures 1 face was too small to read; a closer view would show it.",
        "In crowded pictures 2 faces were left out, the smallest first.",
        "In videos 1,200 readings were too small to read; a closer view would show them.",
        "In crowded videos 1 reading was left out, the smallest first.",
    ):
        assert words in page
    assert "In crowded" not in made([Ad("a.jpg", "picture", seen=seen, frames=1)])


SEVERAL = (
    f"it takes at least {FEWEST + 1} %s with faces, or {FEWEST} with equally many, "
    "and not most of the faces in one or two."
)
RANGE = "range in which the share would probably lie"


@pytest.mark.parametrize(("faces", "enough"), [([1, 1], False), ([1, 1, 1], True)])
def test_what_it_takes_for_a_range_of_a_picture_is_said_and_true(faces, enough):
    ad = Ad("a.jpg", "picture", frames=1)
    face = {"predicted_emotion_label": LABELS[0], "certain": True}
    ad.add(None, {"faces": [face] * len(faces), "too_small": 0, "not_read": 0})
    page = made([ad])
    assert (page.count(f"it takes {FEWEST} faces."), RANGE in page) == ((0, True) if enough else (2, False))


@pytest.mark.parametrize(
    ("faces", "enough"), [([2, 2, 1], False), ([2, 2, 2], True), ([2, 2, 1, 1], True), ([30, 1, 1, 1], False)]
)
@pytest.mark.parametrize("seconds", [1, 7])
def test_what_it_takes_for_a_range_of_a_video_is_said_and_true(faces, enough, seconds):
    seen = {seconds * n: np.eye(8, dtype=int)[0] * size for n, size in enumerate(faces)}
    ad = Ad("a.mp4", "video", seconds=60, seen=seen, began=seen, frames=60, frames_with_face=len(faces))
    page = made([ad], block_seconds=seconds)
    words = SEVERAL % f"blocks of {seconds} second{'s' if seconds > 1 else ''}"
    assert (page.count(words), RANGE in page) == ((0, True) if enough else (2, False))


@pytest.mark.parametrize(
    ("faces", "enough"), [([2, 2, 1], False), ([2, 2, 2], True), ([2, 2, 1, 1], True), ([30, 1, 1, 1], False)]
)
def test_what_it_takes_for_a_range_of_all_together_is_said_and_true(faces, enough):
    ads = [
        Ad(f"{n}.jpg", "picture", seen={0: np.eye(8, dtype=int)[n] * size}, frames=1) for n, size in enumerate(faces)
    ]
    page = made(ads)
    assert (page.count(SEVERAL % "pictures"), RANGE in page) == ((0, True) if enough else (1, False))


def test_of_the_range_of_a_single_picture_it_is_said_that_it_is_too_narrow_and_of_no_other():
    one, other = (
        Ad(name, "picture", seen={0: np.eye(8, dtype=int)[0] * 3 + 3}, frames=1) for name in ("a.jpg", "b.jpg")
    )
    assert made([one]).count("rather too narrow") == 2  # all pictures together, which is this one, and the picture
    together = made([one, other, Ad("c.jpg", "picture", seen=other.seen, frames=1)])
    assert "with other pictures of the same sort" in together and together.count("rather too narrow") == 3


@pytest.mark.parametrize(
    ("threshold", "said"),
    (
        (1.0, "“not sure” of every face"),
        (0.5, "“not sure” when its best guess is under 50\u00a0%"),
        (0, "never says “not sure”"),
    ),
)
def test_when_it_says_not_sure_is_told(threshold, said, monkeypatch):
    monkeypatch.setitem(ABOUT, "threshold", threshold)
    ad = Ad("a.jpg", "picture", seen={0: np.eye(8, dtype=int)[0]}, frames=1)
    assert said in made([ad]).replace("&ldquo;", "“").replace("&rdquo;", "”")


def test_the_strongest_moment_is_where_it_is_with_one_person_in_the_picture_too():
    """Two frames a second: three people, one in three of them happy, then one alone, happy, for three seconds."""
    happy, neutral = np.eye(8, dtype=int)[[SHOWN.index("happiness"), SHOWN.index("neutral")]]
    seen = dict.fromkeys(range(10), 2 * happy + 4 * neutral) | dict.fromkeys(range(10, 13), 2 * happy)
    ad = Ad("a.mp4", "video", seconds=13, seen=seen, began=seen, frames=26)
    usual = 26 / 66
    assert moment(ad, 5, 13) == {"name": "happiness", "share": 1, "usual": usual, "start": "0:10", "end": "0:13"}
    page = made([ad])
    assert "<strong>Happiness</strong> is seen most from 0:10 to 0:13: 100\u00a0% of faces, 39\u00a0% over all." in page


def test_a_video_in_which_nobody_shows_anything_has_no_strongest_moment():
    neutral = np.eye(8, dtype=int)[SHOWN.index("neutral")]
    assert moment(Ad("a.mp4", "video", seen={0: 9 * neutral}), 5, 5) is None
    assert moment(Ad("a.mp4", "video", seen={0: 2 * np.eye(8, dtype=int)[0]}), 5, 5) is None
    misread = {0: 9 * neutral, 5: 9 * neutral + np.eye(8, dtype=int)[SHOWN.index("anger")]}
    assert moment(Ad("a.mp4", "video", seen=misread), 5, 10) is None


def test_an_expression_that_chance_may_have_put_first_is_not_said_to_lead():
    kinds = np.eye(8, dtype=int)

    def faces(*counts: int) -> str:
        ad = Ad("a.jpg", "picture", seen={0: sum(n * kind for n, kind in zip(counts, kinds, strict=False))}, frames=1)
        return re.sub(r"[ \n]+", " ", made([ad]))

    sure = faces(30, 0, 5)
    assert "In its pictures, <strong>happiness</strong> is seen most, in 86\u00a0% of faces (range" in sure
    assert "<b>Happiness</b>leads in the pictures" in sure and "happiness leads" in sure
    close = faces(6, 0, 5)
    assert "happiness was seen most often, in 55\u00a0% of faces, but too little was seen to say that it leads" in close
    assert "<b>No clear lead</b>in the pictures;" in close and "happiness most often" in close
    assert "In its pictures, no expression stands out." in faces(4, 0, 4)


def test_what_was_not_read_copies_and_remarks_are_lists_of_their_own():
    happy = {0: np.eye(8, dtype=int)[0]}
    ads = [
        Ad("bad.jpg", "picture", note="The file is empty."),
        Ad("copy.jpg", "picture", note="The same file as a.jpg, and left out.", copy=True),
        Ad("moves.webp", "picture", seen=happy, frames=1, note="The picture is animated."),
    ]
    found = re.sub(r"\s+", " ", made(ads).partition('id="missing"')[2].partition("</section>")[0])
    titles = ("1 file could not be read", "1 file left out as the same as another", "1 file read with a remark")
    at = [found.index(f"<h3>{title}</h3>") for title in titles] + [len(found)]
    for start, end, ad in zip(at, at[1:], ads, strict=False):
        assert ad.name in found[start:end] and found.count(ad.name) == 1


def test_pictures_that_show_the_same_are_said_to_be_one_for_the_range():
    happy = {0: np.eye(8, dtype=int)[0] * 3}
    ads = [Ad(f"{n}.jpg", "picture", seen=happy, frames=1, looks_like="0.jpg" if n else "") for n in range(5)]
    page = re.sub(r"\s+", " ", made(ads))
    assert "4 of them show the same as another, in another size or format; for the range they are one" in page
    assert SEVERAL % "pictures" in page and "too little was seen to say that it leads" in page
    assert "show the same as another" not in made(ads[:1])


def test_shares_are_rounded_as_a_browser_does():
    seen = {0: np.array([7, 1, 0, 0, 0, 0, 0, 0])}
    page = made([Ad("a.jpg", "picture", seen=seen, frames=1)])
    assert "<b>88\u00a0%</b>" in page and "<b>13\u00a0%</b>" in page and "12\u00a0%" not in page


def test_by_a_share_one_face_does_not_come_before_a_hundred():
    sizes = {"one.jpg": (1, 0), "hundred.jpg": (80, 20), "none.jpg": (0, 50)}
    ads = [
        Ad(name, "picture", seen={0: happy * np.eye(8, dtype=int)[0] + other * np.eye(8, dtype=int)[2]}, frames=1)
        for name, (happy, other) in sizes.items()
    ]
    orders = re.findall(r'data-order="(\S+) ', made(ads))
    hundred, none, one = (float(each) for each in orders)  # as the page has them, by name
    assert hundred > none >= 0 > -1 <= one <= 0


def test_where_not_all_ads_are_shown_those_with_most_faces_are():
    ads = [Ad(f"{size} faces.jpg", "picture", seen={0: np.eye(8, dtype=int)[0] * size}, frames=1) for size in (5, 1, 9)]
    page = made(ads, ads_shown=2)
    assert re.findall(r'data-faces="(\d+)"', page) == ["5", "9"]
    assert "Shown are the 2 with most faces; 1 more are in ads.xlsx." in page
