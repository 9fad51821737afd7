"""Arrays know which cleaning they are of, and a step that finds another one there says so."""

import json
import shutil

import pandas as pd
import pytest
from conftest import TINY, composed
from trees import cleaned, encoded, picture, tree, write

from pipeline import balance, resize, suspect, train
from pipeline.running.cleaned import digest
from pipeline.running.errors import UserError


def manifest(**changes) -> pd.DataFrame:
    rows = {"id": ["a", "b", "c"], "label": [0, 1, 2], "sha256": ["x", "y", None], "kept": [True, True, False]}
    return pd.DataFrame(rows | changes)


def test_the_digest_is_of_the_kept_images_their_labels_and_their_pixels():
    same = digest(manifest())
    assert digest(manifest(label=[0, 1, 5])) == same, "of an image that is not kept"
    others = [
        {"label": [0, 2, 2]},
        {"sha256": ["x", "z", None]},
        {"id": ["a", "d", "c"]},
        {"kept": [True, False, False]},
    ]
    assert len({same, *(digest(manifest(**other)) for other in others)}) == 5


STEPS = {
    "train": (train, [*TINY, "epochs=1", "output=out"]),
    "balance": (balance, ["balance=balanced_1", "balance.per_class=8"]),
    "suspect": (suspect, ["folds=2"]),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("cleaning", "message"),
    [
        (
            {"digest": "another"},
            r"resized/rgb: was made of other images than data/clean keeps now; run: .*channels=rgb",
        ),
        ({"layout": {}}, "another data.layout than there is now; run: python -m pipeline.clean"),
        ({"deny": ["train/happy/1.jpg"]}, "another data.deny than there is now; run: python -m pipeline.clean"),
        ({"digest": "another", "name": "own"}, None),
    ],
)
def test_arrays_of_an_earlier_cleaning_are_refused(project, monkeypatch, step, cleaning, message):
    module, overrides = STEPS[step]
    about = project / "data/resized/rgb/dataset.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"made_from": "one"}))
    (project / "data/clean").mkdir()
    layout = {"splits": {}, "folders": {}, "valid_share": 0, "valid_seed": 0}
    summary = {"name": "sample", "digest": "one", "layout": layout, "allow": [], "deny": []} | cleaning
    (project / "data/clean/summary.json").write_text(json.dumps(summary))
    if message:
        monkeypatch.setattr(train, "fit", lambda *_: pytest.fail("trained"))
        with pytest.raises(UserError, match=message):
            module.main(composed(step, *overrides))
    else:
        module.main(composed(step, *overrides))  # whether they are current can't be told


def test_images_cleaned_anew_are_resized_before_they_are_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    places = [f"paths.{name}={tmp_path / name}" for name in ("clean", "resized", "cache", "tracking")]
    training = [*TINY, "data=own", "epochs=1", "batch_size=2", "output=out", *places]
    raw = tree(tmp_path / "raw")
    _, summary = cleaned(tmp_path, raw)
    resize.main(composed("resize", "data=own", "channels=rgb", *places))
    assert json.loads((tmp_path / "resized/rgb/dataset.json").read_text())["made_from"] == summary["digest"]
    train.main(composed("train", *training))
    assert json.loads((tmp_path / "out/train/run.json").read_text())["made_from"] == summary["digest"]
    shutil.rmtree(tmp_path / "clean")
    write(raw, "train/happy/another.png", encoded(picture(77, colour=True), "PNG"))
    cleaned(tmp_path, raw)
    with pytest.raises(UserError, match=r"was made of other images than .*clean keeps now"):
        train.main(composed("train", *training))
    with pytest.raises(UserError, match=r"another data\.deny than there is now"):
        resize.main(composed("resize", "data=own", "channels=rgb", *places, "data.deny=[train/happy/another.png]"))
