"""The manifest tells each split's own figures."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from pipeline.exporting import manifest
from pipeline.running.run_folder import EvaluatedRun


def report(**without: str) -> dict:
    """A report in which no figure of valid is one of test; a split named in `without` lacks the interval it names."""
    made = {"confidence": 0.8, "calibration": {"temperature": 1.2, "threshold": 0.5, "precision": 0.9}}
    for split, first, images in (("valid", 0.1, 40), ("test", 0.6, 70)):
        made[split] = {
            "images": images,
            "scores": {"accuracy": first + 0.02, "f1_macro": first + 0.12},
            "intervals": {"accuracy": [first, first + 0.04], "f1_macro": [first + 0.1, first + 0.14]},
            "calibration": {"answers": {"images": 9, "precision": first + 0.3}},
        }
        ends = {"precision": [first + 0.2, first + 0.35]}
        made[split]["calibration"]["answers"]["intervals"] = ends
        made[split]["intervals"].pop(without.get(split), None)
    return made


def about(report: dict, **more: str) -> dict:
    run = EvaluatedRun(
        folder=Path("runs/m"),
        about=dict.fromkeys(("data", "run", "run_id", "config_hash", "train_digest"), "x") | more,
        config=OmegaConf.create({"model": {"name": "m", "build": {"layers": ["flatten"]}}}),
        report=report,
        again="",
    )
    return manifest.about(run, SimpleNamespace(size=48, channels=1), version=7)


@pytest.mark.parametrize("score", ["accuracy", "f1_macro"])
def test_each_split_has_its_own_value_interval_and_images(score):
    more = {"accuracy": 0, "f1_macro": 0.1}[score]
    found = about(report())[score]
    assert found == {
        split: pytest.approx(
            {"value": first + 0.02, "low": first, "high": first + 0.04, "confidence": 0.8, "images": images}
        )
        for split, first, images in (("valid", 0.1 + more, 40), ("test", 0.6 + more, 70))
    }


def test_how_often_its_answers_are_right_is_told_where_it_gave_any():
    known = report()
    found = about(known)["answers"]
    figure = {"value": 0.9, "low": 0.8, "high": 0.95, "confidence": 0.8, "images": 9}
    assert found["test"] == pytest.approx(figure) and found["valid"]["value"] == pytest.approx(0.4)
    known["test"]["calibration"]["answers"] = {"images": 0, "intervals": {}}
    assert set(about(known)["answers"]) == {"valid"}


def test_a_runs_caution_goes_with_its_figures():
    assert about(report())["caution"] == ""
    assert about(report(), caution="it may have seen test")["caution"] == "it may have seen test"


@pytest.mark.parametrize(("lacking", "there"), [("valid", "test"), ("test", "valid")])
def test_a_split_whose_interval_is_not_known_is_left_out(lacking, there):
    found = about(report(**{lacking: "f1_macro"}))
    assert set(found["f1_macro"]) == {there}
    assert set(found["accuracy"]) == {"valid", "test"}
