"""Counting what faces seem to express: shares, their intervals, and a video's course."""

from itertools import count

import numpy as np
import pytest
from scipy import stats

from pipeline.campaign.mix import SHOWN, Ad, leader, overall, shares, timeline
from pipeline.labels import LABELS

NUMBER = count()


def answer(*said: str) -> dict:
    """As `describe` answers: faces of these emotions; a ? behind one: not certain."""
    faces = [{"predicted_emotion_label": each.rstrip("?"), "certain": not each.endswith("?")} for each in said]
    return {"faces": faces, "too_small": 1, "not_read": 0}


def picture(*said: str) -> Ad:
    ad = Ad(f"{next(NUMBER)}.jpg", "picture")
    ad.add(None, answer(*said))
    return ad


def test_all_labels_are_shown():
    assert sorted(SHOWN[:-1]) == sorted(LABELS)


def test_shares_of_a_picture_count_the_faces_that_are_not_sure_and_have_wilsons_intervals():
    ad = picture("happiness", "happiness", "fear?", "anger")
    found = {each["name"]: each for each in shares(ad.parts(5), 0.95)}
    assert {name: each["count"] for name, each in found.items() if each["count"]} == {
        "happiness": 2, "not sure": 1, "anger": 1,
    }  # fmt: skip
    expected = stats.binomtest(2, 4).proportion_ci(0.95, method="wilson")
    assert (found["happiness"]["low"], found["happiness"]["high"]) == pytest.approx((expected.low, expected.high))
    assert (ad.frames, ad.frames_with_face, ad.too_small) == (1, 1, 1)


def test_too_little_has_no_interval_and_nothing_has_no_shares():
    assert {each["low"] for each in shares(picture("happiness", "fear").parts(5), 0.95)} == {None}
    assert shares(picture().parts(5), 0.95) == []
    assert shares(overall([picture()], 5), 0.95) == []


def test_frames_of_a_few_seconds_are_not_taken_for_as_many_faces():
    ad = Ad("a.mp4", "video")
    for half in range(120):
        ad.add(half / 2, answer("happiness" if half // 20 % 2 else "neutral"))
    blocks = ad.parts(10)
    assert blocks.sum() == 120 and len(blocks) == 6
    happy = shares(blocks, 0.95)[0]
    naive = stats.binomtest(60, 120).proportion_ci(0.95, method="wilson")
    assert happy["share"] == 0.5
    assert happy["high"] - happy["low"] > 3 * (naive.high - naive.low)


def test_a_frame_that_stays_is_in_one_block_of_the_range_and_at_each_look_on_the_timeline():
    ad = Ad("a.mp4", "video", seconds=60)
    for half in range(120):  # three slides of twenty seconds
        ad.add(half / 2, answer("fear"), since=half // 40 * 20)
    assert ad.parts(5).sum(1).tolist() == [40] * 3
    assert len(ad.blocks(5)) == 12 and all(column.sum() for column in timeline(ad, 2)[1])


def test_overall_each_ad_is_one_part_and_those_without_a_face_none():
    ads = [picture("happiness", "fear"), picture("fear", "fear"), picture(), picture("happiness", "fear")]
    happy = shares(overall(ads, 5), 0.95)[0]
    assert (happy["count"], happy["share"]) == (2, 1 / 3) and happy["low"] < 0.1
    assert shares(overall(ads[:1], 5), 0.95)[0]["low"] is None


def test_pictures_that_show_the_same_are_one_part():
    ads = [picture("happiness", "fear") for _ in range(12)]
    assert leader(overall([picture("happiness") for _ in range(12)], 5), 0.95) == ("happiness", True)
    for ad in ads[1:9]:
        ad.looks_like = ads[0].name
    parts = overall(ads, 5)
    assert parts.sum(1).tolist() == [18, 2, 2, 2] and leader(parts, 0.95)[1] is False
    for ad in ads[1:]:
        ad.looks_like = ads[0].name
    assert overall(ads, 5).tolist() == [sum(ad.counts for ad in ads).tolist()]  # no range: nothing else was seen


def test_there_is_no_range_where_one_ad_has_most_of_the_faces():
    few = [picture("happiness"), picture("fear"), picture("anger"), picture("happiness")]
    assert shares(overall([*few, picture(*["happiness"] * 2)], 5), 0.95)[0]["low"] is not None
    assert shares(overall([*few, picture(*["happiness"] * 20)], 5), 0.95)[0]["low"] is None


@pytest.mark.parametrize(("seconds", "step", "columns"), ((12, 1, 12), (61, 2, 31), (7200, 120, 60), (1e6, 16667, 60)))
def test_a_timeline_has_a_readable_number_of_columns_whatever_the_length(seconds, step, columns):
    ad = Ad("a.mp4", "video", seconds=seconds)
    ad.add(seconds - 0.5, answer("anger"))
    found, counts = timeline(ad, 2)
    assert (found, len(counts)) == (step, columns)
    assert counts[-1][SHOWN.index("anger")] == 1 and not np.sum(counts[:-1])


def test_no_column_of_a_timeline_is_empty_for_want_of_a_look():
    ad = Ad("a.mp4", "video", seconds=20)
    for second in range(0, 20, 4):
        ad.add(second, answer("anger"))
    step, counts = timeline(ad, 0.25)
    assert step == 5 and [column.sum() for column in counts] == [2, 1, 1, 1]
    assert timeline(ad, 0.01)[0] == 120


def test_of_two_equally_likely_one_is_seldom_said_to_lead_and_a_clear_one_is():
    generator, leads = np.random.default_rng(0), []
    for _ in range(400):
        faces = generator.multinomial(1, [0.3, 0, 0.3, 0.1, 0, 0, 0, 0.3], 60)
        leads.append(leader(faces, 0.95)[1])
    assert np.mean(leads) < 0.1
    clear = np.repeat(np.eye(8, dtype=int), [30, 0, 10, 0, 0, 0, 0, 20], axis=0)
    assert leader(clear, 0.95) == ("happiness", True)
    few = np.repeat(np.eye(8, dtype=int), [3, 0, 0, 0, 0, 0, 0, 0], axis=0)
    assert leader(few, 0.95) == ("happiness", False)
    assert leader(few[:2], 0.95) == ("happiness", False)
    level = np.repeat(np.eye(8, dtype=int), [9, 0, 9, 0, 0, 0, 0, 20], axis=0)
    assert leader(level, 0.95) == ("", False)


def clustered(generator, ads: int, both: bool) -> np.ndarray:
    """Ads of about 20 faces that differ in how many are happy, half of all, and agree in the rest.

    both: the others are neutral or, 4 of 10 faces whatever the ad, spread over the rest.
    """
    happy = generator.beta(0.5, 0.5, (ads, 1))
    even = np.full((ads, 6), 1 / 6)
    if both:
        kinds = 0.6 * np.hstack([happy, 0 * happy, 1 - happy, np.zeros((ads, 5))])
        kinds[:, [1, 3, 4, 5, 6, 7]] += 0.4 * even
    else:
        kinds = np.hstack([happy, np.repeat((1 - happy) / 7, 7, axis=1)])
    return generator.multinomial(1 + generator.poisson(19, ads), kinds)


def test_ads_that_differ_in_the_frequent_emotion_alone_widen_its_range_and_make_no_leader():
    """By the mean design effect over the kinds the range held in 67 of 100, and 28 of 100 had a leader."""
    generator = np.random.default_rng(0)
    found = [shares(clustered(generator, 20, both=False), 0.95)[0] for _ in range(300)]
    assert np.mean([each["low"] <= 0.5 <= each["high"] for each in found]) > 0.92
    leads = [leader(clustered(generator, 20, both=True), 0.95)[1] for _ in range(300)]
    assert np.mean(leads) < 0.1


def test_one_crowded_picture_does_not_make_a_leader():
    """Ten pictures: in one of them 30 happy faces, in the others one neutral face each."""
    parts = np.zeros((10, 8), int)
    parts[0, 0], parts[1:, 2] = 30, 1
    assert leader(parts, 0.95) == ("happiness", False)
