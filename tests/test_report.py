"""From runs in MLflow to the figures, tables and the page: compare, mistakes and report."""

import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import composed, outputs, write_arrays
from mlflow.entities import Metric
from tracked import PARAMS, TAGS

from pipeline import compare, rank, report
from pipeline.labels import LABELS
from pipeline.reporting import metrics, mistakes, run_plots
from pipeline.running import tracking
from pipeline.running.errors import UserError

COMMAND = "python -m pipeline.train 'model=<&>'"
IMAGES = 42  # of valid, six of each emotion


def evaluated(folder: Path, run_id: str, store: tracking.Store, seed: int) -> None:
    """The files that evaluate leaves, of random predictions that are right in about half of the images."""
    generator = np.random.default_rng(seed)
    labels = np.arange(IMAGES) % len(LABELS)
    probabilities = generator.dirichlet(np.ones(len(LABELS)), IMAGES) + 0.4 * np.eye(len(LABELS))[labels]
    probabilities /= probabilities.sum(1, keepdims=True)
    into = folder / run_id
    into.mkdir(parents=True)
    found, parts = {"confidence": 0.9}, []
    for split in ("valid", "test"):
        found[split] = metrics.evaluate_split(labels, probabilities, {}, 50, 0.9, generator)
        run_plots.confusion(np.array(found[split]["confusion"]), "run").savefig(into / f"{split}_confusion.png")
        shutil.copy(into / f"{split}_confusion.png", into / f"{split}_reliability.png")
        ids = [f"{split}/{LABELS[label]}/{row}.jpg" for row, label in enumerate(labels)]
        table = pd.DataFrame({"split": split, "id": ids, "label": labels, "gray": True})
        parts.append(pd.concat([table, pd.DataFrame(probabilities, columns=list(LABELS))], axis=1))
    pd.concat(parts).to_parquet(into / "predictions.parquet")
    (into / "report.json").write_text(json.dumps(found))
    store.log_files(run_id, into, "evaluate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Eight runs of two models, two optimizers, rgb and grayscale, one with a second seed; the best is evaluated."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = tracking.open_store(folder / "mlruns", "sample", create=True)
    write_arrays(folder / "data/resized/rgb", images=IMAGES)
    choices = [(m, o, c) for m in ("model_1_concept", "odd") for o in ("adam", "sgd") for c in ("rgb", "grayscale")]
    for number, (model, optimizer, channels) in enumerate([*choices, choices[0]]):
        top = 0.7 - 0.05 * (number % 8) - 0.01 * (number == 8)
        values = PARAMS | {"model.name": model, "optimizer.name": optimizer, "channels.name": channels}
        values |= {"seed": number // 8}
        tags = TAGS | {"config_hash": str(number), "valid_digest": "1-0-sample", "valid_images": IMAGES}
        tags |= {"parameters": 4_708_615, "command": COMMAND}
        run_id = store.start(f"{model}_{optimizer}_{channels}_8", values, tags)
        curves = {"accuracy": (0.3, 0.8), "loss": (2.0, 0.5), "val_accuracy": (0.1, top), "val_loss": (2.1, 1.2)}
        curves["epoch_cpu_seconds"] = (30, 30)
        logged = [Metric(name, value, 1, epoch) for name, two in curves.items() for epoch, value in enumerate(two, 1)]
        logged += [Metric("best_val_accuracy", top, 1, 0), Metric("best_epoch", 2, 1, 0)]
        store.client.log_batch(run_id, metrics=logged)
        if number == 0:
            evaluated(folder / "evaluated", run_id, store, number)
        store.end(run_id, "FINISHED")
    rank.main(config("rank", folder))
    compare.main(config("compare", folder))
    report.main(config("report", folder))
    return folder


def config(step: str, folder: Path, *overrides: str):
    places = {"tracking": "mlruns", "reports": "reports", "clean": "data/clean", "resized": "data/resized"}
    return composed(step, *(f"paths.{name}={folder / place}" for name, place in places.items()), *overrides)


@pytest.fixture(scope="module")
def page(folder) -> str:
    return (folder / "reports/index.html").read_text()


class Elements(HTMLParser):
    """All start tags of a page with their attributes, and which tags were left open."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("stage", ["rank", "compare", "report"])
def test_what_dvc_takes_a_step_to_write_is_written(folder, stage):
    assert outputs(stage) and all((folder / path).exists() for path in outputs(stage))


def test_compare_writes_every_figure_and_table(folder):
    figures = {file.stem for file in (folder / "reports/figures").iterdir()}
    curves = {f"curves_{m}_{c}" for m in ("model_1_concept", "odd") for c in ("rgb", "grayscale")}
    assert figures == curves | {
        "top_and_bottom",
        "histogram",
        "heatmap",
        "cost",
        "boxes",
        "main_effects",
        "rgb_vs_grayscale",
        "architecture_model_1_concept",
    }
    pairs = pd.read_csv(folder / "reports/tables/rgb_vs_grayscale.csv").iloc[0]
    assert (pairs["pairs"], pairs["higher"]) == (4, 4)
    assert pairs["mean"] == pytest.approx((0.045 + 3 * 0.05) / 4)
    effects = pd.read_csv(folder / "reports/tables/main_effects.csv").set_index("value")["effect"]
    assert effects["rgb"] == pytest.approx(pairs["mean"] / 2)
    extremes = pd.read_csv(folder / "reports/tables/extremes.csv").set_index("measure")
    assert extremes.loc["highest_val_accuracy", "max"] == pytest.approx(0.695), "the mean of its seeds, as ranked"
    assert extremes.loc["lowest_val_loss", "median"] == 1.2
    per_run = pd.read_csv(folder / "reports/tables/per_run.csv")
    assert per_run["cpu_seconds"].tolist() == [60] * 8 and len(per_run.loc[0, "run_ids"].split()) == 2


def test_class_counts_before_and_after_cleaning(tmp_path):
    assert compare.class_counts(tmp_path, tmp_path, "own") is None
    manifest = pd.DataFrame({"split": ["train", "train", "test"], "label": [3, 3, 0], "kept": [True, False, True]})
    manifest.to_parquet(tmp_path / "manifest.parquet")
    (tmp_path / "summary.json").write_text('{"name": "own"}')
    counts = compare.class_counts(tmp_path, tmp_path, "own")
    assert counts.loc[["train, as given", "train, kept"], "happiness"].tolist() == [2, 1]
    assert counts.loc["test, kept"].sum() == 1 and counts.to_numpy().sum() == 5
    assert compare.class_counts(tmp_path, tmp_path, "sample") is None
    balanced = tmp_path / "balanced/balanced_1/rgb/dataset.json"
    balanced.parent.mkdir(parents=True)
    for file, again in (
        (balanced, "run python -m pipeline.balance again, with balance=balanced_1 channels=rgb"),
        (tmp_path / "manifest.parquet", "run: python -m pipeline.clean data=own"),
        (tmp_path / "summary.json", "run: python -m pipeline.clean data=own"),
    ):
        file.write_bytes(file.read_bytes()[:-5] if file.exists() else b"{")
        with pytest.raises(UserError, match=f"{file}: cannot be read, it was cut off or is damaged; {again}"):
            compare.class_counts(tmp_path, tmp_path / "balanced", "own")


def test_the_page_loads_nothing_from_elsewhere(page):
    for tag, attributes in Elements(page).found:
        assert tag not in ("link", "iframe", "object", "embed")
        for key in ("src", "href"):
            assert attributes.get(key, "#").startswith(("#", "data:")), (tag, attributes[key][:80])
    assert not re.search(r"url\(|@import|https?://|fetch\(", page)


def test_the_page_is_whole_and_accessible(page):
    elements = Elements(page)
    assert elements.open == []
    assert elements.all("html")[0]["lang"] == "en" and "width=device-width" in str(elements.all("meta"))
    assert all(len(image["alt"]) > 10 for image in elements.all("img"))
    headings = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert {link["href"][1:] for link in elements.all("a")} <= set(ids) and len(ids) == len(set(ids))


def test_the_page_ranks_says_what_is_tied_and_gives_every_command(page, folder):
    table = pd.read_csv(folder / "reports/ranking.csv")
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    names = re.findall(r'<th scope="row">(.*?)</th>', body)
    assert names == table["run"].tolist() and len(names) == 8
    assert body.count("cannot be told") == table["tied_with_best"].sum() - 1
    assert body.count("data-command=") == 8
    second = table.iloc[1]
    points = [f"{100 * second[key]:+.1f}" for key in ("to_best", "to_best_low", "to_best_high")]
    assert "{} ({} to {})".format(*points) in body
    assert COMMAND.replace("'", "&#39;").replace("<&>", "&lt;&amp;&gt;") in body
    assert "<&>" not in page
    assert re.search(r"2</td><td class=\"number\" data-v=\"0\.01", body)  # seeds and spread of the first


def test_the_page_shows_the_best_runs_evaluation_and_worst_faces(page):
    for expected in (
        "Confusion matrix on test",
        "Reliability diagram on test",
        "By emotion, on test",
        "Learning curves of model_1_concept_adam_rgb_8",
    ):
        assert expected in page
    assert len(re.findall(r"A face labelled \w+, taken for \w+", page)) == 5
    assert "The project drew them itself" in page
    assert "Shown is seed 0, the best on valid of 2 seeds" in page


def test_the_page_says_in_plain_words_what_it_does_not_show(page):
    for expected in ("not a felt emotion", "Article 5(1)(f)", "Article 50(3)", "not another seed; those of choices"):
        assert expected in page


def test_faces_of_other_images_than_the_run_saw_are_not_shown(folder):
    row = pd.DataFrame({"id": ["valid/anger/0.jpg"]})
    assert "holds other images now" in mistakes.with_faces(row, folder / "data/resized/rgb", "sample", "another digest")
    assert "no resized images there" in mistakes.with_faces(row, folder / "nowhere", "sample", "d")
    assert "holds the data set 'sample'" in mistakes.with_faces(row, folder / "data/resized/rgb", "own", "d")


@pytest.mark.parametrize("name", ["dataset.json", "valid.npy", "valid.parquet"])
def test_resized_images_that_were_cut_off_cost_the_page_its_faces_alone(folder, tmp_path, name):
    whole = folder / "data/resized/rgb"
    digest = json.loads((whole / "dataset.json").read_text())["digest"]["valid"]
    for file in ("dataset.json", "train.npy", "valid.npy", "valid.parquet"):
        content = (whole / file).read_bytes()
        (tmp_path / file).write_bytes(content[: len(content) // 2] if file == name else content)
    said = mistakes.with_faces(pd.DataFrame({"id": ["valid/anger/0.jpg"]}), tmp_path, "sample", digest)
    assert said.startswith(f"{tmp_path / name}: cannot be read") and "pipeline.resize" in said


def test_the_worst_mistakes_come_first_and_right_answers_never():
    probabilities = np.full((4, 7), 0.02)
    probabilities[[0, 1, 2, 3], [3, 4, 5, 0]] = [0.9, 0.6, 0.88, 0.88]
    predictions = pd.DataFrame(probabilities, columns=list(LABELS), index=list("abcd")).assign(label=[3, 0, 0, 1])
    found = mistakes.worst(predictions, 2)
    assert found["id"].tolist() == ["c", "d"]
    assert found.iloc[0][["true", "predicted"]].tolist() == ["anger", "surprise"]


def test_a_page_of_other_runs_than_were_compared_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"run python -m pipeline\.rank and"):
        report.read_reports(tmp_path, "sample")
    with pytest.raises(UserError, match="not of the same runs of other"):
        report.read_reports(folder / "reports", "other")
    shutil.copytree(folder / "reports", tmp_path, dirs_exist_ok=True)
    about = json.loads((tmp_path / "ranking.json").read_text())
    for other in (about | {"run_ids": about["run_ids"][:-1]}, {}):  # rank was killed between the two files
        (tmp_path / "ranking.json").write_text(json.dumps(other))
        with pytest.raises(UserError, match="not of the same runs of sample"):
            report.read_reports(tmp_path, "sample")
    (tmp_path / "ranking.json").write_text(json.dumps(about))
    ranking = pd.read_csv(tmp_path / "ranking.csv")
    ranking.loc[0, "run_ids"] += " one-that-was-trained-since"
    ranking.to_csv(tmp_path / "ranking.csv", index=False)
    with pytest.raises(UserError, match="not of the same runs of sample"):
        report.read_reports(tmp_path, "sample")


def test_a_page_of_runs_that_mlflow_does_not_hold_is_refused_and_a_file_of_the_finders_is_no_figure(
    folder, tmp_path, monkeypatch
):
    shutil.copytree(folder / "reports", tmp_path / "reports")
    (tmp_path / "reports/figures/.DS_Store").write_bytes(b"x")
    assert all(file.suffix in report.KINDS for file in report.drawn(tmp_path / "reports/figures"))
    tracking.open_store(tmp_path / "mlruns", "sample", create=True)
    with pytest.raises(UserError, match="the ranking is of runs that MLflow does not hold; rank and compare again"):
        report.main(config("report", tmp_path))


def test_the_share_of_train_that_was_drawn_for_valid_is_a_parameter_of_the_run():
    assert report.drawn_valid({"data.layout": '{"valid_share": 0.1}'}) == 0.1
    assert report.drawn_valid({}) == 0, "of a run of before there was a choice"


def test_runs_that_were_tested_on_different_images_are_told(folder, caplog):
    table = pd.read_csv(folder / "reports/ranking.csv")
    first, second, third, *_ = " ".join(table["run_ids"]).split()
    same = {first: {"test_set": "a"}, second: {}, third: {"test_set": "a"}, "unranked": {"test_set": "b"}}
    assert report.tested_apart(table, same) == ""
    store = tracking.open_store(folder / "mlruns", "sample", create=False)
    before = (folder / "reports/index.html").read_bytes()
    store.tag(first, {"test_set": "a"})
    store.tag(third, {"test_set": "b"})
    report.main(config("report", folder))
    expected = "the 2 evaluated runs were tested on 2 different sets of images"
    assert expected in caplog.text
    assert f"<strong>Caution:</strong> {expected}" in (folder / "reports/index.html").read_text()
    store.tag(third, {"test_set": "a"})
    report.main(config("report", folder))
    assert (folder / "reports/index.html").read_bytes() == before


@pytest.mark.parametrize("name", ["ranking.json", "ranking.csv", "tables/per_run.csv"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_ranking_that_was_cut_off_is_told(folder, tmp_path, name, left):
    shutil.copytree(folder / "reports", tmp_path / "reports")
    file = tmp_path / "reports" / name
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    with pytest.raises(UserError, match=rf"{name}: cannot be read, .*; run python -m pipeline\.rank and"):
        report.read_reports(tmp_path / "reports", "sample")


def test_a_choice_that_runs_do_not_have_is_refused_beside_those_they_have(folder):
    with pytest.raises(UserError, match="choices=optimiser: no choice of a run; expected some of model, optimizer, "):
        compare.main(config("compare", folder, "choices=[model,optimiser]"))


def test_nothing_to_compare_is_a_users_error(folder):
    with pytest.raises(UserError, match="no experiment 'empty'; there are: sample"):
        compare.main(config("compare", folder, "study=empty"))


def test_what_was_published_for_the_same_choices_stands_beside():
    beside = report.published(report.PUBLISHED)
    assert len(beside) == 96
    assert beside["model_4_best_nodropout_nobatchn", "sgd", "grayscale", 32] == 0.33660054206848145
    choices = {"model": "model_2_best", "optimizer": "sgd", "channels": "rgb", "batch_size": 128}
    table = pd.DataFrame(
        [choices | {"augment": a, "balance": b} for a, b in (("study", "none"), ("strong", "none"), ("study", "x"))]
    )
    shown = [row["published"] for row in report.rows(table, beside)]
    assert shown == [beside["model_2_best", "sgd", "rgb", 128], None, None]
