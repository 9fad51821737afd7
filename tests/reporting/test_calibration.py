"""Temperature against a known one, errors and curves against counting by hand, and whether a promise is kept."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import softmax

from pipeline import evaluate
from pipeline.reporting import calibration
from pipeline.reporting.intervals import wilson
from pipeline.reporting.temperature import calibrated


def population(images, temperature=1.0, seed=0):
    """Labels drawn from probabilities, and the same probabilities as a model says them at 1 / `temperature`."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (images, 7))
    true = softmax(logits, axis=1)
    labels = (true.cumsum(1) > generator.random((images, 1))).argmax(1)
    return labels, softmax(logits * temperature, axis=1).astype(np.float32)


def of_confidence(confidences, right):
    """Labels and probabilities of answers that are so sure and right or not."""
    confidences = np.asarray(confidences, float)
    probabilities = np.repeat((1 - confidences[:, None]) / 6, 7, axis=1)
    probabilities[:, 0] = confidences
    return np.where(right, 0, 1), probabilities


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_by_which_a_model_is_too_sure_is_found(temperature):
    labels, probabilities = population(20_000, temperature)
    assert calibration.fit_temperature(labels, probabilities) == pytest.approx(temperature, rel=0.04)


def test_no_other_temperature_has_a_smaller_loss():
    labels, probabilities = population(300, 3)
    found = calibration.fit_temperature(labels, probabilities)

    def loss(temperature):
        return calibration.negative_log_likelihood(labels, calibrated(probabilities, temperature))

    assert loss(found) <= min(loss(each) for each in np.geomspace(0.1, 15, 500)) + 1e-9
    assert loss(found) < loss(1)


def test_calibrated_probabilities_are_the_softmax_of_the_logits_over_the_temperature():
    logits = np.random.default_rng(0).normal(0, 3, (50, 7))
    probabilities = softmax(logits, axis=1)
    assert calibrated(probabilities, 1) == pytest.approx(probabilities)
    found = calibrated(probabilities, 2.5)
    assert found == pytest.approx(softmax(logits / 2.5, axis=1))
    assert (found.argmax(1) == probabilities.argmax(1)).all()


def test_a_probability_of_zero_is_no_infinity():
    labels, sure = np.arange(70) % 7, np.eye(7, dtype=np.float32)[(np.arange(70) + (np.arange(70) % 5 == 0)) % 7]
    temperature = calibration.fit_temperature(labels, sure)
    assert 1 < temperature < calibration.TEMPERATURES[1] * 1.001  # surely wrong in one of five
    assert np.isfinite(calibrated(sure, temperature)).all()
    assert np.isfinite(calibration.negative_log_likelihood(labels, sure))


@pytest.mark.parametrize("sure", [0.9, 0.999, 0.99999])
def test_where_all_is_right_no_temperature_is_learnt_and_that_is_told(sure):
    labels = np.arange(200) % 7
    probabilities = (sure - (1 - sure) / 6) * np.eye(7, dtype=np.float32)[labels] + (1 - sure) / 6
    assert calibration.at_bound(calibration.fit_temperature(labels, probabilities))


def test_a_temperature_at_an_end_of_the_range_is_told():
    always = np.arange(70) % 7
    right, wrong = (0.1 * np.eye(7)[each] + 0.9 / 7 for each in (always, (always + 1) % 7))
    for labels, probabilities, expected in ((always, right, True), (always, wrong, True), (*population(700), False)):
        learned = calibration.learn(labels, probabilities, 0.8, 0.95)
        found = calibration.figures(labels, probabilities, learned, 15, 100, 0.95, np.random.default_rng(0))
        assert found["at_bound"] == expected
        report = {"calibration": {"precision": 0.8, **asdict(learned)}, "test": {"calibration": found}}
        assert ("an end of the range searched" in evaluate.calibration_lines(report)[0]) == expected


@pytest.mark.parametrize(
    ("threshold", "line"),
    [
        (
            0,
            'never "not sure": on valid its answers are right at least 80% of the time; on test 90.0% answered, '
            "85.0% of them right",
        ),
        (
            0.5,
            '"not sure" up to 0.500, to be right at least 80% of the time; on test 90.0% answered, 85.0% of them right',
        ),
        (1, 'no threshold on valid makes its answers right at least 80% of the time, so it is always "not sure"'),
    ],
)
def test_what_a_threshold_comes_to_is_told(threshold, line):
    learned = {"temperature": 1.0, "threshold": threshold, "precision": 0.8}
    of_test = {"ece": {"before": 0.1, "after": 0.05}, "answers": {"coverage": 0.9, "precision": 0.85}}
    of_test |= {"ece_by_chance": {"mean": 0.02, "high": 0.03}, "at_bound": False}
    report = {"calibration": learned, "test": {"calibration": of_test}}
    assert line in evaluate.calibration_lines(report)[1]


def test_the_calibration_error_is_the_distance_in_each_bin_weighted_by_its_images():
    labels, probabilities = population(500, 2)
    table = calibration.reliability(labels, probabilities, 15, 0.95)
    sure, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    by_hand = 0.0
    for number in range(15):
        rows = (sure > number / 15) & (sure <= (number + 1) / 15)
        if rows.any():
            by_hand += rows.sum() / 500 * abs(right[rows].mean() - sure[rows].mean())
    assert calibration.expected_calibration_error(table) == pytest.approx(by_hand)
    assert sum(row["images"] for row in table) == 500


def test_the_calibration_error_that_chance_alone_makes_is_told():
    generator = np.random.default_rng(0)
    _, probabilities = population(2000)
    told = calibration.error_by_chance(probabilities, 15, 2000, 0.95, generator)
    drawn = []
    for _ in range(200):  # a model that is right exactly as often as it says, measured again and again
        right = generator.random(2000) < probabilities.max(1)
        labels = np.where(right, probabilities.argmax(1), (probabilities.argmax(1) + 1) % 7)
        drawn.append(calibration.expected_calibration_error(calibration.reliability(labels, probabilities, 15, 0.95)))
    assert told["mean"] == pytest.approx(np.mean(drawn), rel=0.05)
    assert 0.9 < (np.array(drawn) < told["high"]).mean() < 0.99
    assert 0.01 < told["mean"] < told["high"] < 0.04
    labels, too_sure = population(2000, 2.5)
    error = calibration.expected_calibration_error(calibration.reliability(labels, too_sure, 15, 0.95))
    assert error > 2 * calibration.error_by_chance(too_sure, 15, 200, 0.95, generator)["high"]


def test_a_bin_holds_its_upper_end_and_an_empty_one_is_left_out():
    table = calibration.reliability(*of_confidence([0.2, 0.21, 0.4, 1.0], [True, False, True, True]), 5, 0.95)
    assert [(row["from"], row["to"], row["images"]) for row in table] == [
        (0.0, 0.2, 1),
        (0.2, 0.4, 2),
        (pytest.approx(0.8), 1.0, 1),
    ]
    assert (table[1]["accuracy"], table[1]["confidence"]) == (0.5, pytest.approx(0.305))
    assert (table[1]["low"], table[1]["high"]) == pytest.approx(wilson(0.5, 2, 0.95))


def test_temperature_mends_a_model_that_is_too_sure():
    learned = calibration.learn(*population(3000, 2.5), 0.8, 0.95)
    found = calibration.figures(*population(3000, 2.5, seed=1), learned, 15, 100, 0.95, np.random.default_rng(0))
    assert found["ece"]["after"] < 0.03 < 0.1 < found["ece"]["before"]
    assert found["nll"]["after"] < found["nll"]["before"]


def test_risk_and_coverage_are_those_of_answering_the_surest_first():
    labels, probabilities = population(200)
    curve = calibration.risk_coverage(labels, probabilities)
    order = np.argsort(-probabilities.max(1))
    wrong = (probabilities.argmax(1) != labels)[order]
    risks = [wrong[:count].mean() for count in range(1, 201)]
    assert curve["risk"].tolist() == pytest.approx(risks)
    assert curve["coverage"].tolist() == pytest.approx(np.arange(1, 201) / 200)
    assert calibration.area(curve) == pytest.approx(np.mean(risks))


def test_equally_sure_images_are_answered_together_whatever_their_order():
    right = np.array([True, False] * 10)
    for order in (np.arange(20), np.argsort(right)):
        curve = calibration.risk_coverage(*of_confidence(np.full(20, 0.7), right[order]))
        assert curve[["answered", "right"]].to_numpy().tolist() == [[20, 10]]
        assert calibration.area(curve) == pytest.approx(0.5)  # nothing told, so the error rate


def test_the_threshold_is_the_smallest_whose_answers_keep_the_promise():
    labels, probabilities = population(800)
    threshold = calibration.choose_threshold(calibration.risk_coverage(labels, probabilities), 0.7, 0.95)
    sure = probabilities.max(1).astype(float)

    def low(above):
        given = sure > above
        return wilson((probabilities.argmax(1) == labels)[given].mean(), given.sum(), 0.95)[0]

    assert 0 < threshold < 1
    assert low(threshold) >= 0.7
    assert all(low(other) < 0.7 for other in [0, *sure[sure < threshold]])
    found = calibration.answers(labels, probabilities, threshold, 0.95)
    assert found["images"] == (sure > threshold).sum()
    assert found["precision"] >= found["intervals"]["precision"][0] >= 0.7
    assert found["intervals"]["coverage"] == pytest.approx(list(wilson(found["images"] / 800, 800, 0.95)))


def test_a_promise_that_cannot_be_kept_means_never_an_answer():
    few = of_confidence([1.0, 1.0, 1.0], [True, True, True])  # right, and too few to prove anything
    threshold = calibration.choose_threshold(calibration.risk_coverage(*few), 0.8, 0.95)
    assert threshold == 1
    assert calibration.answers(*few, threshold, 0.95)["images"] == 0
    assert "precision" not in calibration.answers(*few, threshold, 0.95)


def test_a_model_that_is_right_often_enough_answers_everything():
    always = of_confidence(np.linspace(0.3, 0.9, 100), np.ones(100, bool))
    assert calibration.choose_threshold(calibration.risk_coverage(*always), 0.8, 0.95) == 0


def test_a_threshold_by_the_low_end_keeps_its_promise_on_new_images_and_one_by_the_precision_does_not():
    labels, probabilities = population(50_000)
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    generator, kept = np.random.default_rng(0), {0.95: 0, 0.0: 0}  # with confidence 0 both ends are the precision
    for _ in range(100):
        valid = generator.integers(0, len(labels), 500)
        curve = calibration.risk_coverage(labels[valid], probabilities[valid])
        for confidence in kept:
            given = sure > calibration.choose_threshold(curve, 0.8, confidence)
            kept[confidence] += not given.any() or right[given].mean() >= 0.8
    assert kept[0.95] >= 90 > 60 > kept[0.0]
