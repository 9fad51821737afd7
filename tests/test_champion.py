"""The shipped model is the one its documents speak of: its bytes, and what it says of drawn faces."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import composed
from serving.drawn import portrait

from pipeline import restore
from pipeline.images.shape import resized
from pipeline.labels import FOLDERS, LABELS
from pipeline.learning import models
from pipeline.running.config import identity
from pipeline.running.errors import UserError
from pipeline.serving.model import FILE, Model

ROOT = Path(__file__).resolve().parents[1]
CHAMPION = ROOT / "champion"
EACH = 20  # portraits of each emotion


@pytest.fixture(scope="module")
def champion() -> Model:
    return Model(CHAMPION, [1], threads=1)


def test_it_gets_the_documented_accuracy_on_drawn_faces(champion):
    size, _, channels = champion.shape
    right = 0
    for folder, label in FOLDERS.items():
        faces = [resized(portrait(folder, seed, 96), size, channels) for seed in range(EACH)]
        right += int((champion.predict(np.stack(faces)).argmax(1) == LABELS.index(label)).sum())
    documented = re.search(r"(\d+) of (\d+) drawn portraits", (ROOT / "docs/model.md").read_text())
    # Drawing and resizing round differently between versions of numpy and Pillow; a wrong model or label order doesn't.
    assert int(documented[2]) == EACH * len(LABELS)
    assert abs(right - int(documented[1])) <= 2


def test_a_file_that_is_not_the_one_its_manifest_names_is_refused(tmp_path):
    changed = tmp_path / "champion"
    shutil.copytree(CHAMPION, changed)
    content = bytearray((changed / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (changed / FILE).write_bytes(content)
    with pytest.raises(UserError, match="SHA-256 is not the manifest's"):
        Model(changed, [1], threads=1)


def test_it_is_small_and_says_how_good_it_is():
    about = json.loads((CHAMPION / "manifest.json").read_text())
    assert sum(path.stat().st_size for path in CHAMPION.rglob("*") if path.is_file()) < 6e6
    card, model, readme = (
        (ROOT / name).read_text() for name in ("champion/MODEL_CARD.md", "docs/model.md", "README.md")
    )
    accuracy = f"{100 * about['accuracy']['test']['value']:.1f} %"
    assert accuracy in card and accuracy in model and accuracy in readme
    assert about["run_id"] in card
    for split in ("valid", "test"):
        right, f1 = about["accuracy"][split], about["f1_macro"][split]
        assert f"{100 * right['low']:.1f} to {100 * right['high']:.1f} %" in card
        assert f"{f1['low']:.3f} to {f1['high']:.3f}" in card


def test_it_is_restored_as_a_model_that_finetuning_begins_with(champion, tmp_path):
    restore.main(composed("restore", f"exported={CHAMPION}", f"output={tmp_path / 'champion.keras'}"))
    again = models.load(tmp_path / "champion.keras")
    values = identity(composed("train", "+experiment=finetune", "data=own"))
    begun = models.build(values["model"], again.input_shape[1], 1)
    assert [array.shape for array in begun.get_weights()] == [array.shape for array in again.get_weights()]
    faces = np.stack([resized(portrait("happy", seed, 96), *champion.shape[::2]) for seed in range(4)])
    assert again.predict(faces, verbose=0) == pytest.approx(champion.raw(faces), abs=0.01)
