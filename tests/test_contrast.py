"""Two models on the same images: which is better is said where the images show it, and only there."""

import numpy as np
import pandas as pd
import pytest
from conftest import composed
from sklearn.metrics import f1_score, log_loss

from pipeline import contrast
from pipeline.labels import LABELS
from pipeline.running.errors import UserError

KINDS = len(LABELS)


def said(labels, right, generator) -> np.ndarray:
    """Probabilities, [N, 7], whose largest is the label's with this probability."""
    answers = np.where(generator.random(len(labels)) < right, labels, (labels + generator.integers(1, 7)) % KINDS)
    scores = generator.random((len(labels), KINDS)) + 3 * np.eye(KINDS)[answers]
    return scores / scores.sum(1, keepdims=True)


def written(folder, labels, probabilities, split="valid", name="evaluate/predictions.parquet", ids=None):
    rows = pd.DataFrame({"split": split, "id": ids or [f"{n}.jpg" for n in range(len(labels))], "label": labels})
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    rows[list(LABELS)] = probabilities
    rows.sample(frac=1, random_state=len(str(folder))).to_parquet(file)  # in an order of its own
    return folder


@pytest.fixture
def models(tmp_path):
    """Labels of 700 images, and what two models said of them, of which the first is right more often."""
    generator = np.random.default_rng(0)
    labels = np.arange(700) % KINDS
    one, other = said(labels, 0.8, generator), said(labels, 0.6, generator)
    return labels, one, other, written(tmp_path / "one", labels, one), written(tmp_path / "other", labels, other)


def printed(capsys, first, second, *overrides) -> str:
    contrast.main(composed("contrast", f"first={first}", f"second={second}", *overrides))
    return capsys.readouterr().out


def test_the_figures_are_those_of_each_and_of_their_difference(models):
    labels, one, other, *_ = models
    found = contrast.contrasts(labels, one, other, 0.95, 4000, np.random.default_rng(1))
    for name, measure in {
        "accuracy": lambda said: (said.argmax(1) == labels).mean(),
        "macro F1": lambda said: f1_score(labels, said.argmax(1), average="macro"),
        "log loss": lambda said: log_loss(labels, said),
    }.items():
        assert found[name].first == pytest.approx(measure(one)), name
        assert found[name].second == pytest.approx(measure(other)), name
        assert found[name].low < found[name].difference < found[name].high


def test_the_intervals_are_those_of_images_drawn_again_together_for_both(models):
    labels, one, other, *_ = models
    found = contrast.contrasts(labels, one, other, 0.9, 4000, np.random.default_rng(1))
    generator = np.random.default_rng(2)
    draws = {name: [] for name in found}
    for _ in range(800):
        rows = generator.integers(0, len(labels), len(labels))
        y, a, b = labels[rows], one[rows], other[rows]
        draws["accuracy"].append((a.argmax(1) == y).mean() - (b.argmax(1) == y).mean())
        f1 = [f1_score(y, each.argmax(1), average="macro") for each in (a, b)]
        draws["macro F1"].append(f1[0] - f1[1])
        draws["log loss"].append(log_loss(y, a, labels=range(7)) - log_loss(y, b, labels=range(7)))
    for name, each in found.items():
        width = each.high - each.low
        assert [each.low, each.high] == pytest.approx(np.quantile(draws[name], [0.05, 0.95]), abs=0.12 * width), name


def test_the_better_one_is_named_whichever_comes_first(models, capsys):
    *_, one, other = models
    out = printed(capsys, one, other)
    assert "valid: 700 images; " in out and "answered differently" in out
    assert out.count("first is better") == 3 and "McNemar p = " in out
    assert "log loss" in out and "Test is to be asked once" not in out
    assert printed(capsys, other, one).count("second is better") == 3


def test_a_model_beside_itself_or_one_as_good_is_not_shown_to_differ(models, tmp_path, capsys):
    labels, *_, one, _ = models
    assert printed(capsys, one, one).count("not shown to differ") == 3
    as_good = written(tmp_path / "as good", labels, said(labels, 0.8, np.random.default_rng(5)))
    assert printed(capsys, one, as_good).count("not shown to differ") == 3


def test_more_questions_make_each_interval_wider(models, capsys):
    labels, one, other, *folders = models
    narrow, wide = (
        contrast.contrasts(labels, one, other, 1 - 0.05 / questions, 4000, np.random.default_rng(1))
        for questions in (1, 20)
    )
    for name in narrow:
        assert wide[name].low < narrow[name].low < narrow[name].high < wide[name].high
    assert "Intervals of 95%, widened so that 20 such intervals hold together" in printed(
        capsys, *folders, "questions=20"
    )


def test_macro_f1_is_left_out_where_an_emotion_is_rare(models, tmp_path, capsys):
    labels, one, other, *_ = models
    labels = np.where((labels == 1) & (np.arange(len(labels)) > 60), 0, labels)
    folders = [written(tmp_path / name, labels, each) for name, each in (("a", one), ("b", other))]
    assert "macro F1" not in printed(capsys, *folders)


def test_what_measure_has_written_is_read_too_and_test_comes_with_a_warning(models, tmp_path, capsys):
    labels, one, other, *_ = models
    folders = [
        written(tmp_path / name, labels, each, "test", "predictions.parquet")
        for name, each in (("a", one), ("b", other))
    ]
    out = printed(capsys, *folders, "split=test")
    assert out.count("first is better") == 3 and "Test is to be asked once" in out


def test_images_that_one_of_them_lacks_are_left_out_and_counted(models, tmp_path, capsys):
    labels, _, other, first, _ = models
    fewer = written(tmp_path / "fewer", labels[100:], other[100:], ids=[f"{n}.jpg" for n in range(100, 700)])
    assert "600 images; 100 that only one of them has are left out" in printed(capsys, first, fewer)


def test_what_cannot_be_compared_is_one_line(models, tmp_path):
    labels, _, other, first, second = models
    strangers = written(tmp_path / "strangers", labels, other, ids=[f"s{n}" for n in range(700)])
    relabelled = written(tmp_path / "relabelled", np.roll(labels, 1), other)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    pd.DataFrame({"id": ["a"]}).to_parquet(foreign / "predictions.parquet")
    for folders, overrides, expected in [
        ((first, tmp_path), (), f"second={tmp_path}: has no predictions.parquet; expected a run that is evaluated"),
        ((first, second), ("split=test",), f"first={first}: has no test; it has valid: split="),
        ((first, strangers), (), "has none of the images of first="),
        ((first, relabelled), (), "'0.jpg' has another label there than in first="),
        ((foreign, second), (), "has no column 'anger'"),
    ]:
        with pytest.raises(UserError) as caught:
            contrast.main(composed("contrast", f"first={folders[0]}", f"second={folders[1]}", *overrides))
        assert expected in str(caught.value) and "\n" not in str(caught.value)
