"""The page about a campaign: what its lists hold and its words say follows from the settings."""

from pipeline.campaign.mix import FEWEST, SHOWN, Ad
from pipeline.campaign.page import make
from pipeline.labels import LABELS

ABOUT = {"accuracy": {}, "model": "compact", "version": 1, "threshold": 0.5}


def made(ads: list[Ad], **settings) -> str:
    values = {"block_seconds": 5, "confidence": 0.95, "ads_shown": 9, "keep_faces": False, "frames_per_second": 2}
    return make("campaign", ads, {"most": [], "least": []}, ABOUT, values | settings)


def test_lists_of_files_are_as_long_as_it_is_said_and_say_what_they_leave_out():
    faulty = [Ad(f"bad{n}.jpg", "", note="empty") for n in range(5)]
    without_face = [Ad(f"bare{n}.jpg", "picture", frames=1) for n in range(6)]
    page = made([*faulty, *without_face], ads_shown=2)
    assert page.count("<strong>bad") == 2 and "3 more in ads.csv" in page
    assert "bare1.jpg and 4 more" in page and "bare2" not in page
    page = made([*faulty, *without_face], ads_shown=6)
    assert page.count("<strong>bad") == 5 and "bare5.jpg" in page and " more" not in page.partition('id="missing"')[2]


def test_what_it_takes_for_a_range_is_said_with_the_numbers_that_decide_it():
    ad = Ad("a.jpg", "picture", frames=1)
    face = {"predicted_emotion_label": LABELS[0], "certain": True}
    ad.add(None, {"faces": [face], "too_small": 0, "not_read": 0})
    assert len(ad.parts(7)) < FEWEST and len(SHOWN) == len(LABELS) + 1
    assert f"it takes {FEWEST} faces, in a video faces in {FEWEST} blocks of 7 seconds." in made([ad], block_seconds=7)
    assert "blocks of 1 second." in made([ad], block_seconds=1)
