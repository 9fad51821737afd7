import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.intervals import effective_size, even_parts, student, wilson


def test_wilson_agrees_with_scipy():
    low, high = wilson(np.array([0.48, 0.0, 1.0]), np.array([200, 10, 10]), 0.95)
    for number, (right, images) in enumerate([(96, 200), (0, 10), (10, 10)]):
        expected = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
        assert (low[number], high[number]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.99, 0.999, 0.9999])
def test_student_is_scipys_t(confidence):
    for freedom in (2, 2.01, 2.5, 3, 3.7, 9, 200, 12_345.6, 1e6):
        assert student(confidence, freedom) == pytest.approx(stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-6)


def test_wilson_stays_between_0_and_1_and_around_the_accuracy():
    images = np.arange(1, 20_000)
    for share in (0.0, 1.0):
        low, high = wilson(np.full(len(images), share), images, 0.95)
        assert (low >= 0).all() and (low <= share).all() and (share <= high).all() and (high <= 1).all()
        assert (low < high).all()


def test_answers_that_stand_alone_are_worth_their_number():
    assert (effective_size(np.eye(8, dtype=int)[[0, 0, 3, 7]], 0.95) == 4).all()


def test_parts_in_which_all_answers_are_the_same_are_worth_one_answer_each():
    parts = np.eye(3, dtype=int)[np.arange(300) % 3]
    assert effective_size(50 * parts, 0.95) == pytest.approx(300, rel=0.02)
    assert effective_size(50 * parts[[0] * 20], 0.95) == pytest.approx(20, rel=0.2)


def test_parts_of_unequal_size_are_worth_fewer_of_one_size():
    assert even_parts(np.eye(8, dtype=int)[[1, 1, 4]] * 7) == pytest.approx(3)
    assert even_parts(np.array([[80, 0], [0, 20]])) == pytest.approx(1 / (0.8**2 + 0.2**2))


def coverage(sizes: list[int], seed: int) -> tuple[float, float]:
    """How often the interval holds the true share of parts that differ much, and the one that takes all for alike."""
    rng, true = np.random.default_rng(seed), np.array([0.35, 0.3, 0.2, 0.1, 0.05])
    hits = np.zeros(2)
    for _ in range(400):
        counts = np.stack([rng.multinomial(size, rng.dirichlet(3 * true)) for size in sizes])
        share = counts.sum(0) / counts.sum()
        for which, size in enumerate((effective_size(counts, 0.95), counts.sum())):
            low, high = wilson(share, size, 0.95)
            hits[which] += ((low <= true) & (true <= high)).mean()
    return tuple(hits / 400)


@pytest.mark.parametrize(
    "sizes", ([6] * 4, [6] * 12, [6] * 40, [30, 60, 120, 240, 300], [40, 40, 40, 5, 5, 5, 5]), ids=str
)
def test_the_interval_holds_what_it_promises_where_answers_come_in_alike_parts(sizes):
    held, taken_for_alike = coverage(sizes, len(sizes))
    assert 0.93 <= held <= 0.997  # cautious with four or five parts
    assert taken_for_alike < 0.88


def test_the_effective_size_of_three_equal_parts_is_the_one_by_hand():
    counts = np.array([[8, 2], [5, 5], [2, 8]])
    # The first kind has shares of .8, .5 and .2: the variance of their mean, over that of 30 answers that stand alone.
    effect = ((0.3**2 + 0.3**2) / (3 - 1) / 3) / (0.5 * 0.5 / 30)
    assert effect == pytest.approx(3.6)
    wider = stats.t.ppf(0.975, 3 - 1) / stats.norm.ppf(0.975)
    assert effective_size(counts, 0.95) == pytest.approx(30 / effect / wider**2)
