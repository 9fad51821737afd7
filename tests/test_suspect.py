"""Suspect labels: labels flipped on purpose are found, and nothing but the two reports is written."""

import numpy as np
import pandas as pd
import pytest
from conftest import composed, contents
from omegaconf import OmegaConf
from PIL import Image

from pipeline import suspect
from pipeline.labels import LABELS
from pipeline.running.errors import UserError


@pytest.fixture(scope="module")
def model() -> dict:
    return OmegaConf.to_container(composed("suspect").model)


def stripes(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [N, 48, 48, 1]: stripes in a direction of each class, give or take 8 degrees, under noise."""
    angle = (labels * 180 / len(LABELS) + rng.normal(0, 4, len(labels)))[:, None, None] * np.pi / 180
    y, x = np.mgrid[:48, :48]
    phase = rng.uniform(0, 6.3, (len(labels), 1, 1))
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2 + phase)
    return (128 + 50 * wave + rng.normal(0, 20, wave.shape)).clip(0, 255).astype(np.uint8)[..., None]


def test_flipped_labels_are_found(model):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(LABELS), 1400)
    images = stripes(truth, rng)
    flipped = rng.choice(len(truth), 140, replace=False)  # one label in ten
    labels = truth.copy()
    labels[flipped] = (labels[flipped] + rng.integers(1, len(LABELS), len(flipped))) % len(LABELS)
    probabilities = suspect.out_of_fold(suspect.gradients(images), labels, 5, model | {"steps": 100}, 0)
    found = suspect.suspects(probabilities, labels)
    hits = np.isin(found.index, flipped)
    assert hits.sum() >= 0.85 * len(flipped)  # recall
    assert hits.mean() >= 0.8  # precision
    assert hits[:100].mean() >= 0.95  # the most suspect stand first
    right = [LABELS.index(name) == truth[row] for row, name in found.suggested[hits].items()]
    assert np.mean(right) >= 0.9


def test_suspects_are_off_the_diagonal_of_the_confident_joint():
    labels = np.array([0, 0, 0, 1, 1])
    of_first = np.array([0.9, 0.8, 0.1, 0.2, 0.45])
    probabilities = np.zeros((5, 7))
    probabilities[:, 0], probabilities[:, 1] = of_first, 1 - of_first
    # thresholds: 0.6 for the first class, (0.8 + 0.55) / 2 = 0.675 for the second; row 4 reaches neither
    found = suspect.suspects(probabilities, labels)
    assert found.index.tolist() == [2]
    assert found.loc[2, ["label", "suggested"]].tolist() == ["anger", "disgust"]
    assert found.margin[2] == pytest.approx(0.1 - 0.9)


def test_reports_are_written_and_nothing_else(project):
    before = contents(project)
    suspect.main(composed("suspect", "model.steps=20"))
    made = {path.name: path.read_bytes() for path in (project / "reports").iterdir()}
    assert sorted(made) == ["suspect_labels.csv", "suspect_labels.html"]
    assert contents(project).items() >= before.items()
    table = pd.read_csv(project / "reports/suspect_labels.csv")
    assert table.margin.is_monotonic_increasing
    assert set(table.id) <= set(pd.read_parquet(project / "data/resized/rgb/train.parquet").id)
    suspect.main(composed("suspect", "model.steps=20"))
    assert {path.name: path.read_bytes() for path in (project / "reports").iterdir()} == made


def test_arrays_that_were_cut_off_are_told(project):
    file = project / "data/resized/rgb/train.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        UserError, match=r"train\.npy: cannot be read, it was cut off or is damaged; run `python -m pipeline.clean"
    ):
        suspect.main(composed("suspect"))
    assert not (project / "reports").exists()


@pytest.mark.parametrize("size", [8, 20])
def test_images_of_a_size_that_it_cannot_take_are_refused_by_it(project, size):
    file = project / "data/resized/rgb/train.npy"
    np.save(file, np.load(file)[:, :size, :size])
    with pytest.raises(UserError, match=f"the images are {size} pixels wide; expected a multiple of 8 from 16 on"):
        suspect.main(composed("suspect"))


def test_gallery_needs_no_other_file_and_is_safe():
    row = {"id": "train/sad/<script>.jpg", "label": "sadness", "suggested": "fear", "margin": -0.9}
    page = suspect.gallery(pd.DataFrame([row]), [Image.new("L", (48, 48))], 7, 1000, 96)
    assert "7 of 1,000 labels are suspect" in page
    assert "&lt;script&gt;.jpg" in page
    assert "<script" not in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page


def test_too_few_images_of_a_class_are_named(model):
    with pytest.raises(UserError, match="train has 2 images of fear, fewer than folds=5"):
        suspect.out_of_fold(np.zeros((9, 4), np.float32), np.array([0] * 7 + [2] * 2), 5, model, 0)
