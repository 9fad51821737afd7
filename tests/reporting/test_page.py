"""What the page of a ranking says in short, from tables alone."""

import re
from collections import defaultdict
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from pipeline.reporting import compare, template

PAGE = Path(template.__file__).parent / "page.html"


def row(**own) -> dict:
    """A row of a ranking, told from the best without predictions."""
    row = {"rank": 1, "run": "m", "label": "m", "best_val_accuracy": 0.6, "low": 0.55, "high": 0.65, "seeds": 1}
    row |= {"spread": None, "tied_with_best": True, "p_value": 1.0, "compared_by": compare.UNPAIRED, "model": "m"}
    row |= {"optimizer": "sgd", "channels": "rgb", "batch_size": 8, "best_epoch": 1, "epochs": 2, "parameters": 7}
    row |= {"valid_images": 100, "to_best": -0.01, "to_best_low": -0.05, "to_best_high": 0.03}
    return row | {"command": "train", "published": None} | own


def effects(*found: tuple[float, float], confidence: float = 0.95) -> list[dict]:
    """Rows of main_effects, each an effect, whose interval is a point to either side, and its p-value."""
    return [
        {"choice": "model", "value": f"v{number}", "effect": effect, "low": effect - 0.01, "high": effect + 0.01}
        | {"p_value": p_value, "confidence": confidence}
        for number, (effect, p_value) in enumerate(found)
    ]


def page(rows: list[dict], report: dict | None = None, untimed: int | None = None, drawn: float = 0, **tables) -> str:
    """The words of the page, without its tags; with the picture of the costs where `untimed` says how many it lacks."""
    about = {"study": "s", "confidence": 0.95, "runs": len(rows), "valid_images": 100, "valid_digest": "d", "mean": 0.5}
    about |= {"median": 0.5, "cautions": [], "apart": [], "left_out": 0}
    best = {"run": "m", "command": "train", "curves": None, "pictures": defaultdict(str), "report": report, "faces": []}
    figures = {"main_effects": "data:"} if "main_effects" in tables else {}
    figures |= {} if untimed is None else {"cost": "data:"}
    context = {"about": about, "rows": rows, "axis": {"low": 0.5, "high": 0.7}, "tables": tables, "figures": figures}
    unpaired = sum(each["compared_by"] == compare.UNPAIRED for each in rows[1:])
    context |= {"tested_apart": "", "kept_differently": "", "unpaired": unpaired, "untimed": untimed, "data": "sample"}
    context |= {"drawn": drawn}
    text = template.page(PAGE, context | {"best": best})
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", text)))


@pytest.mark.parametrize(("stuck", "told"), [(2, False), (3, True)])
def test_nets_that_learned_nothing_are_said_to_blur_the_effects(stuck, told):
    text = page([row(best_val_accuracy=0.4), *[row(best_val_accuracy=0.26)] * stuck], main_effects=effects((0.1, 0.1)))
    assert ("3 entries share the lowest accuracy, 26.0 %, as nets do that give every image the same" in text) == told


def test_the_effect_in_short_has_its_interval():
    found = effects((0.02, 0.06), (0.001, 0.9), (-0.03, 0.01), confidence=0.9)
    text = page([row(), row()], main_effects=found)
    assert "most accuracy is model = v0 (+2.0 points, 90 % interval +1.0 to +3.0)" in text
    assert "with the least model = v2 (-3.0 points, 90 % interval -4.0 to -2.0)" in text
    assert "Points are from the mean of the values, each counted alike." in text
    assert "asking about all 3 values at once (Holm)" in text and "count as repeats" in text


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            [(0.02, 0.06), (-0.02, 0.06)],
            "No choice is told apart from the mean of the values, each counted alike, when",
        ),
        ([(0.02, 0.06), (-0.02, 0.06), (0.015, 0.04)], "most accuracy is model = v2 (+1.5"),
        ([(0.02, 0.06), (-0.015, 0.04)], "least accuracy is model = v1 (-1.5"),
        ([(0.02, np.nan)], "What a choice does cannot be told"),
    ],
    ids=("none", "one above", "one below", "not known"),
)
def test_an_effect_that_is_not_told_apart_is_not_led_with(found, says):
    text = page([row(), row()], main_effects=effects(*found))
    assert says in text
    assert "v0 (" not in text


@pytest.mark.parametrize(
    ("seeds", "says"),
    [
        ([1, 1], "Every entry is one seed: how much another seed would change them is not known"),
        ([2, 1, 1], "2 of 3 entries are one seed: how much seeds vary is taken from the other."),
        ([2, 1], "1 of 2 entries is one seed: how much seeds vary is taken from the other."),
    ],
)
def test_the_page_says_how_many_entries_are_one_seed(seeds, says):
    assert says in page([row(seeds=each, seed=0) for each in seeds])


def test_nothing_is_said_of_one_seed_where_every_entry_has_more():
    text = page([row(seeds=2, seed=0, spread=0.004), row(seeds=2, seed=0, spread=0.012)])
    assert "one seed" not in text
    assert "The seeds of one entry lie up to 1.2 points apart. The comparison with the best counts how they" in text
    assert "That is known from 2 repeats: the fewer, the less can be told apart." in text
    assert "is within what the choice of images and of seeds alone explains" in text


def test_the_ranking_shows_labels_and_how_many_were_compared_without_predictions():
    text = page([row(label="m, learning_rate=0.1"), row(label="m, learning_rate=0.01"), row(compared_by="t")])
    assert "m, learning_rate=0.1 has the highest" in text and "m, learning_rate=0.01" in text
    assert "1 of the 2 others were compared with it without predictions, which tells less apart; a run trained" in text
    assert "without predictions, which tells less apart" not in page([row(), row(compared_by="t")])


def test_the_evaluation_has_its_own_confidence_and_figures_of_what_there_is():
    split = {"images": 5, "scores": {"accuracy": 0.5, "f1_macro": 0.4}, "intervals": {"accuracy": [0.2, 0.8]}}
    per_class = {"fear": {"precision": 0, "recall": 0, "f1-score": 0, "support": 0}}
    per_class["anger"] = {"precision": 0.5, "recall": 0.25, "f1-score": 1 / 3, "support": 5}
    per_class["anger"]["recall_interval"] = [0.05, 0.7]
    text = page([row()], {"confidence": 0.8, "valid": split, "test": split | {"per_class": per_class}})
    assert "accuracy 80 % interval macro F1 80 % interval" in text
    assert "test has no part in either" in text and "read once" not in text, "it may have been evaluated again"
    assert "fear – – – – 0 anger 0.50 0.25 0.05 to 0.70 0.33 5" in text, "figures of no image are not 0"


def test_what_an_interval_covers_is_told():
    text = page([row()], main_effects=effects((0.1, 0.01)))
    assert "The interval of an accuracy covers the choice of images, not another seed; those of choices and" in text
    assert "The intervals cover the scatter between runs on these images, not other images." in text
    assert "where it goes along with a choice it is taken for that choice's effect" in text


def test_entries_that_lack_some_images_of_valid_are_told():
    assert "compared on 100 images of valid (90 for some), data" in page([row(), row(valid_images=90)])
    assert "compared on 100 images of valid, data" in page([row(), row()])


def test_a_valid_that_was_drawn_from_train_is_told():
    assert "It came without a valid: 0.1 of its train was drawn for that" in page([row(), row()], drawn=0.1)
    assert "came without a valid" not in page([row(), row()])


def test_what_the_picture_of_the_costs_lacks_is_told():
    told = "Not drawn, because the time of the entry or of a run before it is not known: 2 of 3 entries."
    assert told in page([row()] * 3, untimed=2)
    assert "Not drawn" not in page([row()] * 3, untimed=0)


def test_of_several_seeds_the_page_says_which_is_shown():
    text = page([row(seed=7, seeds=3, spread=0.01), row()])
    assert "Shown is seed 7, the best on valid of 3 seeds: its figures" in text
    assert "Shown is seed" not in page([row(), row(seed=7, seeds=3, spread=0.01)])
