"""The model card: every figure in it is one of the run's files, and it needs nothing but them."""

import json
import re
import shutil
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import composed
from omegaconf import OmegaConf
from shells import shell

from pipeline import describe
from pipeline.labels import LABELS, SPLITS
from pipeline.reporting import calibration, metrics
from pipeline.running.config import identity
from pipeline.running.errors import UserError

COMMAND = "python -m pipeline.train model=compact optimizer=adam seed=37"
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"


@cache
def report(images: int, seed: int, precision: float) -> dict:
    """report.json, not to be changed, as evaluate writes it, of predictions that are right for about two of three."""
    generator = np.random.default_rng(seed)
    splits = {}
    for name in ("valid", "test"):
        labels = generator.integers(0, 7, images - (name == "test"))
        said = generator.dirichlet(np.ones(7), len(labels)) + 0.25 * np.eye(7)[labels]
        splits[name] = labels, said / said.sum(1, keepdims=True)
    learned = calibration.learn(*splits["valid"], precision, 0.9)
    found = {}
    for name, (labels, said) in splits.items():
        parts = {"gray": labels > 2, "colour": labels <= 2, "dark": labels == 4}
        found[name] = metrics.evaluate_split(labels, said, parts, 200, 0.9, generator)
        found[name]["calibration"] = calibration.figures(labels, said, learned, 11, 200, 0.9, generator)
    return found | {
        "run_id": "f00d" * 8,
        "parameters": 2_422_127,
        "input": [48, 48, 3],
        "confidence": 0.9,
        "brightness": {"dark_below": 83, "light_from": 171},
        "calibration": asdict(learned) | {"bins": 11, "precision": precision},
    }


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder with the files that the card needs, and no other."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs/compact_adam_rgb_32"
    (folder / "train").mkdir(parents=True)
    (folder / "evaluate").mkdir()
    cfg = composed("train", "model=compact", "optimizer=adam", "data=real_faces", "epochs=23", "seed=37")
    OmegaConf.save(OmegaConf.create(identity(cfg)), folder / "train/config.yaml")
    about = {"run": "compact_adam_rgb_32", "data": "real_faces", "run_id": "f00d" * 8, "command": COMMAND}
    about |= {"made_from": "feed" * 16, "train_images": 8011}
    about |= {"best_epoch": 19, "config_hash": "c0ffee" * 10, "train_digest": "beef" * 16, "valid_digest": "cafe" * 16}
    (folder / "train/run.json").write_text(json.dumps(about))
    (folder / "evaluate/report.json").write_text(json.dumps(report(700, 0, 0.8)))
    counts = {"train": (9001, 8765), "valid": (713, 700), "test": (714, 699)}
    (tmp_path / "data/clean").mkdir(parents=True)
    summary = {"name": "real_faces", "source": "/home/somebody/faces.zip", "digest": "feed" * 16, "limit": "all"}
    summary["splits"] = {split: dict(zip(("images", "kept"), counts[split], strict=True)) for split in SPLITS}
    (tmp_path / "data/clean/summary.json").write_text(json.dumps(summary))
    return folder


def card(run) -> str:
    describe.main(composed("describe", f"run={run.relative_to(run.parents[1])}"))
    return (run / "MODEL_CARD.md").read_text()


def leaves(value) -> list:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    return [leaf for each in value for leaf in leaves(each)] if isinstance(value, list) else [value]


def edit(run, change) -> None:
    found = json.loads((run / "evaluate/report.json").read_text())
    change(found)
    (run / "evaluate/report.json").write_text(json.dumps(found))


def is_rounded(text: str, figures: np.ndarray) -> bool:
    """Whether a figure, or its hundredfold, is `text` when it is rounded to as many digits."""
    digits = len(text.partition(".")[2])
    both = np.concatenate([figures, 100 * figures])
    return bool((np.abs(both - float(text.replace(",", ""))) <= 0.5001 * 10**-digits).any())


@pytest.mark.parametrize("seed", [0, 1])
def test_every_figure_is_one_of_the_files(run, seed):
    (run / "evaluate/report.json").write_text(json.dumps(report(700, seed, 0.8)))
    files = [json.loads(file.read_text()) for file in [*run.rglob("*.json"), *run.parents[1].rglob("summary.json")]]
    files.append(yaml.safe_load((run / "train/config.yaml").read_text()))
    known = leaves(files)
    words = " ".join(str(each) for each in known if isinstance(each, str))
    figures = np.array([float(each) for each in known if isinstance(each, int | float)])
    text = card(run)
    # in the template's own words stand names and laws only
    own = re.sub(r"{[{%].*?[%}]}", " ", describe.TEMPLATE.read_text(), flags=re.S)
    own = set(re.findall(NUMBER, own))
    assert own == {"0", "1", "255", "2013", "2024", "1689", "5", "50", "3", "256"}
    written = re.sub(r"`[0-9a-f]{16,}`|```bash\n.*?```", lambda found: _known(found.group(), words), text, flags=re.S)
    found = [text for text in re.findall(NUMBER, written) if text not in own]
    assert len(found) > 100
    assert not [text for text in found if not is_rounded(text, figures) and text not in words and text != "7"]


def _known(text: str, words: str) -> str:
    assert text.removeprefix("```bash\n").strip("`\n") in words
    return ""


def test_the_figures_stand_where_they_belong(run):
    found = json.loads((run / "evaluate/report.json").read_text())
    text, test = card(run), found["test"]
    assert 0 < found["calibration"]["threshold"] < 1
    low, high = (f"{100 * end:.1f}" for end in test["intervals"]["accuracy"])
    assert f"| test | 699 | {100 * test['scores']['accuracy']:.1f} % | {low} to {high} % |" in text
    assert f"(90 % interval: {low} to {high} %)" in text
    fear = test["per_class"]["fear"]
    row = f"| fear | {fear['support']:.0f} | {fear['precision']:.2f} | {fear['recall']:.2f} |"
    low, high = fear["recall_interval"]
    assert low < fear["recall"] < high
    assert f"{row} {low:.2f} to {high:.2f} | {fear['f1-score']:.2f} |" in text
    dark = test["slices"]["dark"]
    assert f"| dark | {dark['images']} | {100 * dark['scores']['accuracy']:.1f} % |" in text
    assert re.search(r"\| dark \|.*\| – \| not known \|\n", text)  # it has one emotion
    low, high = (f"{end:.3f}" for end in test["intervals"]["f1_macro"])
    assert f"| {test['scores']['f1_macro']:.3f} | {low} to {high} |" in text
    ece, answers = test["calibration"]["ece"], test["calibration"]["answers"]
    chance = test["calibration"]["ece_by_chance"]
    assert f"| test | {ece['before']:.3f} | {ece['after']:.3f} | {chance['mean']:.3f} | {chance['high']:.3f} |" in text
    assert f"temperature of **{found['calibration']['temperature']:.3f}**" in text
    assert f"above **{found['calibration']['threshold']:.3f}**" in text
    low, high = (f"{100 * end:.1f}" for end in answers["intervals"]["precision"])
    assert f"| {100 * answers['precision']:.1f} % | {low} to {high} % |" in text
    assert "in 11 bins" in text and "below 83," in text and "from 171 on" in text
    for expected in ("| train | 9,001 | 8,765 |", "2,422,127 parameters", "| seed | 37 |", COMMAND, "epoch 19,"):
        assert expected in text
    assert "learning_rate 0.001" in text
    assert "| surprise |" in text and all(label in text for label in LABELS)


def test_an_expression_without_pictures_has_no_figures(run):
    file = run / "evaluate/report.json"
    found = json.loads(file.read_text())
    found["test"]["per_class"]["disgust"] = {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 0.0}
    file.write_text(json.dumps(found))
    assert "\n| disgust | 0 | – | – | – | – |\n| fear |" in card(run)


def test_it_says_what_it_is_for_and_what_the_law_is(run):
    text = card(run)
    for expected in ("apparent expression", "Article 5(1)(f)", "Article 50(3)", "medical or safety", "must be told"):
        assert expected in text
    for expected in ("## Intended use", "## Limits", "published for research", "Check the licence"):
        assert expected in text
    assert "/home/somebody" not in text
    assert "{" not in text and "None" not in text and "\n\n\n" not in text
    for line, following in zip(text.splitlines(), text.splitlines()[1:], strict=False):  # tables are whole
        assert not (line and following.startswith("#"))
        if line.startswith("|") and following.startswith("|"):
            assert line.count("|") == following.count("|")


def test_cleaning_of_other_images_is_not_told(run):
    summary = run.parents[1] / "data/clean/summary.json"
    found = json.loads(summary.read_text())
    for other in (found | {"name": "own"}, found | {"digest": "fade" * 16}):
        summary.write_text(json.dumps(other))
        assert "What cleaning set aside is not told here" in card(run)
    shutil.rmtree(summary.parent)
    text = card(run)
    assert "What cleaning set aside is not told here" in text and "8,765" not in text


def test_it_says_on_how_many_images_it_was_trained_and_of_how_many_cleaning_chose(run):
    assert "It was trained on 8,011 images.\n" in card(run)
    summary = run.parents[1] / "data/clean/summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"limit": 9002}))
    config = OmegaConf.load(run / "train/config.yaml")
    config.balance.per_class = 1234
    OmegaConf.save(config, run / "train/config.yaml")
    text = card(run)
    assert "Only a part of the images was taken, at most 9,002 of each split (`limit`). Set aside" in text
    assert "trained on 8,011 images, those kept and others generated from them (`pipeline.balance`)." in text


def test_a_promise_that_is_never_kept_is_told(run):
    (run / "evaluate/report.json").write_text(json.dumps(report(700, 0, 0.999)))
    text = card(run)
    assert 'take every answer as "not sure"' in text
    assert (
        'No rule for saying "not sure" was found by which its answers would be right at least 99.9 % of the time'
        in text
    )


def test_what_only_a_person_knows_stands_among_its_limits(run):
    remark = "Test was looked at before."
    file = run / "train/run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"caution": "a teacher may have seen test"}))
    describe.main(composed("describe", f"run={run}", f"remarks=[{remark}]"))
    limits = (run / "MODEL_CARD.md").read_text().partition("## Limits")[2].partition("## ")[0]
    assert limits.endswith(f"is not in them.\n- a teacher may have seen test.\n- {remark}\n\n")
    text = card(run)
    assert remark not in text
    assert "had not seen" not in text and "of which it may have seen some in training (see [Limits](#limits))" in text


def test_no_answer_on_test_is_told(run):
    def none(found):
        answers = found["test"]["calibration"]["answers"]
        answers |= {"images": 0, "coverage": 0.0}
        del answers["precision"], answers["intervals"]["precision"]

    edit(run, none)
    assert "| no answer |  |" in card(run)


def test_of_drawn_faces_it_says_that_they_prove_nothing(run):
    about = json.loads((run / "train/run.json").read_text()) | {"data": "sample"}
    (run / "train/run.json").write_text(json.dumps(about))
    text = card(run)
    assert "It says nothing about real faces" in text and "need no licence" in text and "FER-2013" not in text


def test_a_run_that_is_not_evaluated_as_it_stands_is_refused(run):
    edit(run, lambda found: found.update(run_id="another"))
    with pytest.raises(UserError, match=r"evaluation is of another training .*run: python -m pipeline\.evaluate run="):
        card(run)
    edit(run, lambda found: found.update(run_id="f00d" * 8))
    edit(run, lambda found: [row.pop("recall_interval") for row in found["test"]["per_class"].values()])
    with pytest.raises(UserError, match="an older one"):
        card(run)
    (run / "evaluate/report.json").unlink()
    with pytest.raises(UserError, match=r"report\.json: not there; run: python -m pipeline\.evaluate"):
        card(run)
    (run / "train/config.yaml").unlink()
    with pytest.raises(UserError, match=r"config\.yaml: not there; train it"):
        card(run)
    assert not (run / "MODEL_CARD.md").exists()


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("runs/compact_adam_rgb_32/train/run.json", "train it"),
        (
            "runs/compact_adam_rgb_32/evaluate/report.json",
            "run: python -m pipeline.evaluate run=runs/compact_adam_rgb_32",
        ),
        ("data/clean/summary.json", "run: python -m pipeline.clean data=real_faces"),
    ],
)
def test_a_file_that_was_cut_off_is_one_line_that_says_what_makes_it_again(run, monkeypatch, capfd, name, again):
    Path(name).write_text(Path(name).read_text()[:-9])
    code, out, err = shell(monkeypatch, capfd, "describe", "run=runs/compact_adam_rgb_32")
    assert code == 2 and out == ""
    assert err.startswith(f"pipeline.describe: {name}: cannot be read, it was cut off or is damaged; {again}")
    assert err.count("\n") == 1
    assert not (run / "MODEL_CARD.md").exists()


@pytest.mark.parametrize(("monitor", "said"), [("val_accuracy", ""), ("val_loss", " by its loss"), (None, "")])
def test_it_says_by_what_its_epoch_was_the_best(run, monitor, said):
    config = OmegaConf.load(run / "train/config.yaml")
    config.monitor = monitor
    if monitor is None:  # a run of before there was a choice
        del config["monitor"]
    OmegaConf.save(config, run / "train/config.yaml")
    assert f"those of epoch 19, the best on valid{said}. Every value" in card(run)


def test_a_valid_that_was_drawn_from_train_is_told(run):
    said = "The data came without a valid: 0.1 of its train was drawn for that"
    config = OmegaConf.load(run / "train/config.yaml")
    assert said not in card(run)
    config.data.layout.valid_share = 0.1
    OmegaConf.save(config, run / "train/config.yaml")
    assert said in card(run)
    del config.data["layout"]  # a run of before there was a choice
    OmegaConf.save(config, run / "train/config.yaml")
    assert "came without a valid" not in card(run)


def test_a_model_that_it_went_on_from_is_named_by_its_digest(run):
    assert "SHA-256" not in card(run)
    config = OmegaConf.load(run / "train/config.yaml")
    config.teacher = "multirun/first"
    OmegaConf.save(config, run / "train/config.yaml")
    about = json.loads((run / "train/run.json").read_text())
    (run / "train/run.json").write_text(json.dumps(about | {"teacher_digest": "decade" * 10}))
    text = card(run)
    assert "`teacher` is a model trained before, the file with SHA-256 `decadedecadedeca`" in text
    assert "| teacher | multirun/first |" in text and "`initial_weights` is" not in text
    digests = ",".join(["decade" * 10, "facade" * 10])
    (run / "train/run.json").write_text(json.dumps(about | {"teacher_digest": digests}))
    text = card(run)
    assert "`teacher`, number 1, is a model trained before, the file with SHA-256 `decadedecadedeca`" in text
    assert "`teacher`, number 2, is a model trained before, the file with SHA-256 `facadefacadefaca`" in text


def test_a_model_that_never_has_to_be_unsure_is_told(run):
    found = report(700, 0, 0.05)
    assert found["calibration"]["threshold"] == 0
    (run / "evaluate/report.json").write_text(json.dumps(found))
    text = card(run)
    assert 'It is never "not sure"' in text and 'It has no need to say "not sure"' in text
    assert "| test | 100.0 % |" in text
    assert "above **0.000**" not in text


def test_a_value_is_told_as_yaml_has_it():
    assert [describe.plain(value) for value in ("modèles/x.keras", True, None)] == ["modèles/x.keras", "true", "null"]
