"""The campaign report: from pictures and videos to tables and a page, without TensorFlow and without a network."""

import csv
import errno
import html
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import composed
from omegaconf import OmegaConf
from PIL import Image
from serving.drawn import encoded, group, portrait
from serving.test_page import CHROMIUM, prints_its_colours
from trees import misname

from pipeline import analyze
from pipeline.drawing.camera import backdrop
from pipeline.running.cli import CONF
from pipeline.running.errors import UserError
from pipeline.serving.faces import Detector
from pipeline.serving.model import Model
from pipeline.serving.pictures import describe, look, open_picture

# What the extra `serve` does not bring; a step that needs one of them fails in its environment.
TRAINING = ("tensorflow", "keras", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "seaborn", "mlflow", "dvc")
BLOCK = f"""
    import sys
    sys.modules.update(dict.fromkeys({TRAINING}))  # None: an import of it fails
    from pipeline.running import cli
    cli.run("analyze")
"""


def film(path: Path, pictures: list[Image.Image], each: int = 10, rate: float = 10) -> None:
    """So many frames a second, each picture for so many of them."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, pictures[0].size)
    for picture in pictures:
        for _ in range(each):
            writer.write(cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR))
    writer.release()


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Path:
    """Three pictures with faces, one without, a video with and without, and what can't be read."""
    folder = tmp_path_factory.mktemp("campaign") / "Spring & <b>"
    (folder / "posters").mkdir(parents=True)
    three = group([("happy", 41), ("surprise", 24), ("happy", 33)], 5, 240)
    (folder / "posters/three.jpg").write_bytes(encoded(three))
    (folder / "=cmd|'x'.png").write_bytes(encoded(portrait(side=200), "PNG"))
    (folder / "<img src=x onerror=alert(1)>.webp").write_bytes(encoded(portrait("sad", 5, 200), "WEBP"))
    nobody = backdrop(200, np.random.default_rng(4))
    (folder / "nobody.jpg").write_bytes(encoded(nobody))
    (folder / "half.jpg").write_bytes(encoded(three)[:3000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    film(folder / "film.mp4", [nobody, portrait(side=200), portrait("sad", 5, 200), portrait(side=200)], 40)
    return folder


@pytest.fixture(scope="module")
def report(campaign, exported, tmp_path_factory) -> tuple[Path, str]:
    """The report's folder and what its making said, made without the training's libraries."""
    out = tmp_path_factory.mktemp("out") / "report"
    command = [f"source='{campaign}'", f"out={out}", f"exported={exported}", "workers=2", "block_seconds=2"]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BLOCK), *command], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return out, ended.stderr


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return [*csv.DictReader(opened)]


def made(source: Path, out: Path, exported: Path, *overrides: str) -> Path:
    """A report made in this process."""
    cfg = composed("analyze", "workers=1", *overrides)
    cfg.source, cfg.out, cfg.exported = str(source), str(out), str(exported)
    analyze.main(cfg)
    return out


def test_it_needs_nothing_of_the_training_and_says_where_its_results_are(report):
    out, said = report
    assert {path.name for path in out.iterdir()} == analyze.WRITTEN
    assert (
        f"open {out / 'index.html'}" in said
        and "5 of 9 files read" in said
        and "4 not or not wholly read, 0 the same" in said
    )
    assert "pictures: 5 of 5 img" in said and "video 2 of 2: 32 of 32 frame" in said
    assert "moov" not in said  # FFmpeg's own words


def test_faces_are_what_the_service_says_of_the_same_picture(report, campaign, exported):
    out, _ = report
    faces = OmegaConf.to_container(OmegaConf.load(CONF / "faces.yaml"))
    model = Model(exported, [1, 4], 1)
    picture = open_picture((campaign / "posters/three.jpg").read_bytes(), 10**7).rgb
    seen = look(picture, Detector(faces), model.shape)
    expected = describe(seen, model.predict(seen.crops), model)["faces"]
    found = [row for row in rows(out / "faces.csv") if row["file"] == "posters/three.jpg"]
    assert len(found) == len(expected) == 3
    for row, face in zip(found, sorted(expected, key=lambda face: face["box"]["x"]), strict=True):
        assert {side: int(row[side]) for side in face["box"]} == face["box"]
        likeliest = face["predicted_emotion_label"]
        assert (row["likeliest"], row["emotion"]) == (likeliest, likeliest if face["certain"] else "not sure")
        assert {label: float(row[label]) for label in face["class_probabilities"]} == face["class_probabilities"]


def test_a_video_is_looked_at_twice_a_second_and_its_face_is_there_after_the_start(report):
    out, _ = report
    film = next(row for row in rows(out / "ads.csv") if row["file"] == "film.mp4")
    assert (film["kind"], float(film["seconds"]), film["frames"], film["frames_with_face"]) == ("video", 16, "32", "24")
    seconds = [float(row["second"]) for row in rows(out / "faces.csv") if row["file"] == "film.mp4"]
    assert seconds == [4 + half / 2 for half in range(24)]
    assert film["happiness_low"]


def test_what_cannot_be_read_is_listed_with_its_reason(report):
    out, _ = report
    notes = {row["file"]: row["note"] for row in rows(out / "ads.csv") if row["note"]}
    assert set(notes) == {"half.jpg", "empty.jpg", "notes.txt", "broken.mp4"}
    assert "ends before" in notes["half.jpg"] and "can't be played" in notes["broken.mp4"]
    page = (out / "index.html").read_text()
    assert all(name in page for name in notes)


def test_no_name_is_run_by_a_spreadsheet_or_a_browser(report):
    out, _ = report
    assert "'=cmd|'x'.png" in {row["file"] for row in rows(out / "faces.csv")}
    page = (out / "index.html").read_text()
    assert "<img" not in page and "&lt;img src=x" in page and "Spring &amp; &lt;b&gt;" in page


def test_nothing_of_any_picture_is_stored_and_nothing_is_loaded_from_elsewhere(report):
    out, _ = report
    page = (out / "index.html").read_text()
    assert "data:image" not in page
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert not any(b"\xff\xd8\xff" in file.read_bytes() for file in out.iterdir())


def test_the_page_says_what_its_figures_are_not(report):
    page = (report[0] / "index.html").read_text()
    for words in (
        "Apparent expression, not felt emotion",
        "Not sure",
        "Art. 50(3)",
        "Art. 5(1)(f)",
        "50.0\u00a0% of 2,000",
    ):
        assert words in page


def test_the_same_source_gives_the_same_bytes_and_replaces_the_report(campaign, exported, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("nobody.jpg", "=cmd|'x'.png"):
        (tmp_path / "in" / name).write_bytes((campaign / name).read_bytes())
    contents = [
        {file.name: file.read_bytes() for file in made(tmp_path / "in", tmp_path / "out", exported).iterdir()}
        for _ in range(2)
    ]
    assert contents[0] == contents[1]


def test_a_zip_alone_is_read_and_what_is_damaged_in_it_is_told(exported, tmp_path):
    with zipfile.ZipFile(tmp_path / "spring.zip", "w") as made_of:
        for name in ("posters/bad.jpg", "posters/face.jpg"):
            made_of.writestr(name, encoded(portrait(side=200)))
    misname(tmp_path / "spring.zip", "posters/bad.jpg")
    out = made(tmp_path / "spring.zip", tmp_path / "out", exported)
    assert {path.name for path in out.iterdir()} == analyze.WRITTEN
    bad, face = rows(out / "ads.csv")
    assert (bad["file"], bad["faces"], face["file"], face["faces"]) == ("posters/bad.jpg", "0", "posters/face.jpg", "1")
    page = html.unescape((out / "index.html").read_text())
    assert "can't be read" in bad["note"] and bad["note"] in page


def test_a_copy_of_a_picture_or_video_is_named_and_changes_no_figure(exported, tmp_path):
    (tmp_path / "in/old").mkdir(parents=True)
    for seed, kind in enumerate(("happy", "sad", "surprise", "happy")):
        (tmp_path / f"in/{seed}.jpg").write_bytes(encoded(portrait(kind, seed, 200)))
    film(tmp_path / "in/a.mp4", [portrait(side=200)])
    once = made(tmp_path / "in", tmp_path / "once", exported)
    for copy, of in {"old/5.jpg": "0.jpg", "old/6.jpg": "0.jpg", "b.mp4": "a.mp4"}.items():
        (tmp_path / "in" / copy).write_bytes((tmp_path / "in" / of).read_bytes())
    twice = made(tmp_path / "in", tmp_path / "twice", exported)
    assert (once / "faces.csv").read_bytes() == (twice / "faces.csv").read_bytes()
    notes = {row["file"]: (row["note"], row["faces"]) for row in rows(twice / "ads.csv") if row["note"]}
    same_picture, same_video = (f"The same file as {name}, and left out." for name in ("0.jpg", "a.mp4"))
    assert notes == {"old/5.jpg": (same_picture, "0"), "old/6.jpg": (same_picture, "0"), "b.mp4": (same_video, "0")}
    mixes = [
        (folder / "index.html").read_text().partition('id="ads"')[0].partition('id="mix"')[2]
        for folder in (once, twice)
    ]
    assert mixes[0] == mixes[1] and "whisker" in mixes[0]
    assert same_video in (twice / "index.html").read_text()


def test_a_slide_show_alone_is_read_and_its_slides_count_for_as_long_as_they_are_shown(
    exported,
    tmp_path,
):
    nobody = backdrop(200, np.random.default_rng(4))
    film(tmp_path / "slides.mp4", [portrait(side=200), nobody, portrait(side=200)], 1, rate=0.4)
    out = made(tmp_path / "slides.mp4", tmp_path / "out", exported)
    (ad,) = rows(out / "ads.csv")
    assert (float(ad["seconds"]), ad["frames"], ad["frames_with_face"], ad["note"]) == (7.5, "15", "10", "")
    page = " ".join((out / "index.html").read_text().split())
    assert "0:07 long, up to 2 looks a second; a face in 10 of 15 looks." in page
    times = [0, 0.5, 1, 1.5, 2, 5, 5.5, 6, 6.5, 7]
    assert [float(row["second"]) for row in rows(out / "faces.csv")] == times


def test_faces_are_shown_only_when_asked_for(campaign, exported, tmp_path):
    source = campaign / "posters"
    page = (made(source, tmp_path / "a", exported, "keep_faces=true", "faces_shown=2") / "index.html").read_text()
    assert page.count("data:image/jpeg") == 2  # of one picture: its surest and its least sure face
    assert "personal data" in page


def test_of_an_animated_picture_it_is_said_that_only_its_first_frame_was_read(exported, tmp_path):
    frames = [portrait(kind, 1, 200) for kind in ("happy", "sad")]
    frames[0].save(tmp_path / "ad.webp", save_all=True, append_images=frames[1:], duration=300)
    out = made(tmp_path / "ad.webp", tmp_path / "out", exported)
    (ad,) = rows(out / "ads.csv")
    assert (ad["faces"], ad["note"]) == ("1", "The picture is animated; only its first frame was read.")
    assert ad["note"] in (out / "index.html").read_text()


def test_a_campaign_without_a_face_has_a_page_that_says_so(campaign, exported, tmp_path):
    out = made(campaign / "nobody.jpg", tmp_path / "out", exported)
    assert "No face that can be read was found" in (out / "index.html").read_text()
    assert rows(out / "faces.csv") == []


def test_when_nothing_can_be_read_it_says_so_and_writes_nothing(campaign, exported, tmp_path):
    with pytest.raises(
        UserError, match=r"notes\.txt: none of its 1 files can be read; notes\.txt: .*neither a picture"
    ):
        made(campaign / "notes.txt", tmp_path / "out", exported)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("where", ("mine", "tables", "campaign/report", "index.html"))
def test_a_place_where_something_else_is_stays_as_it_is(tmp_path, exported, where):
    (tmp_path / "campaign").mkdir()
    (tmp_path / "campaign/a.jpg").write_bytes(encoded(portrait(side=64)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/ads.csv").write_text("years")
    (tmp_path / "index.html").write_text("x")
    with pytest.raises(UserError, match=where):
        made(tmp_path / "campaign", tmp_path / where, exported)
    assert all((tmp_path / name).exists() for name in ("mine/thesis.txt", "tables/ads.csv", "index.html"))
    assert not (tmp_path / "campaign/report").exists()


def test_what_somebody_puts_there_meanwhile_stays_as_it_is(exported, tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(encoded(portrait(side=200)))
    out, write_ads = made(tmp_path / "a.jpg", tmp_path / "out", exported), analyze.tables.write_ads
    monkeypatch.setattr(
        analyze.tables, "write_ads", lambda *given: ((out / "thesis.txt").write_text("years"), write_ads(*given))
    )
    with pytest.raises(UserError, match=r"out: holds something else than this writes \(thesis\.txt\); empty it"):
        made(tmp_path / "a.jpg", out, exported)
    assert {path.name for path in out.iterdir()} == analyze.WRITTEN | {"thesis.txt"}
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg", "out"}


def test_a_place_that_cannot_be_looked_at_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"x: cannot be written \(File name too long\); make that possible or name"):
        analyze.refuse_place(tmp_path / ("x" * 300), Path("campaign"))

    def closed(path):  # root may look everywhere
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\); make that possible or name another"):
        analyze.refuse_place(tmp_path, tmp_path / "campaign.zip")


def test_a_folder_that_could_not_be_replaced_is_refused_before_any_picture_is_read(exported, small_disk, monkeypatch):
    (picture := small_disk.parent / "a.jpg").write_bytes(encoded(portrait(side=100)))
    monkeypatch.setattr(analyze, "Model", lambda *_, **__: pytest.fail("read"))
    (empty := small_disk.parent / "empty").mkdir()
    monkeypatch.chdir(empty)
    with pytest.raises(UserError, match=r"^\.: the folder that this command is given in"):
        made(picture, Path("."), exported)
    with pytest.raises(UserError, match="a disk is mounted there"):
        made(picture, small_disk, exported)


def test_an_empty_folder_and_a_report_may_be_replaced_once_a_system_has_left_something_there_too(tmp_path):
    for names in ((), (".DS_Store",), analyze.WRITTEN, ("._index.html", "Thumbs.db", ".~lock.faces.csv#")):
        for name in names:
            (tmp_path / name).touch()
        analyze.refuse_place(tmp_path, Path("campaign"))
    (tmp_path / ".git").mkdir()
    with pytest.raises(UserError, match="something else"):
        analyze.refuse_place(tmp_path, Path("campaign"))


def test_a_campaign_is_called_as_its_folder_is_even_from_within_and_through_a_link(tmp_path, monkeypatch):
    (tmp_path / "spring").mkdir()
    (tmp_path / "latest").symlink_to("spring")
    monkeypatch.chdir(tmp_path / "spring")
    assert [analyze.title(Path(source)) for source in (".", "../spring", "a.mp4")] == ["spring", "spring", "a.mp4"]
    assert analyze.title(tmp_path / "latest") == "latest"


@pytest.mark.parametrize(
    "override",
    ("frames_per_second=0", "block_seconds=no", "block_seconds=0.5", "block_seconds=2.5", "block_seconds=0",
     "confidence=95", "faces_shown=-1", "faces_shown=true", "ads_shown=0", "ads_shown=3.0", "workers=many",
     "workers=2.0", "keep_faces=yes", "batch_sizes=[1,x]", "batch_sizes=[1,0]", "batch_sizes=1",
     "source=2024", "limits.picture_bytes=16MB", "limits.pixels=x", "limits.video_bytes=-1",
     "faces.overlap=2"),
)  # fmt: skip
def test_values_that_cannot_be_are_refused_by_name(override):
    with pytest.raises(UserError, match=f"^{override.partition('=')[0]}="):
        analyze.main(composed("analyze", "source=x", override))


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium, or set CHROMIUM")
def test_the_page_fits_a_phone_asks_for_nothing_and_sorts(report):
    from playwright.sync_api import sync_playwright

    asked, complaints = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto((report[0] / "index.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.select_option("#by", "faces")
        counts = page.eval_on_selector_all("#lanes details", "all => all.map(each => Number(each.dataset.faces))")
        page.click("#lanes details:first-child summary")
        assert page.is_visible("#lanes details:first-child table")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") == width
        page.emulate_media(media="print")
        assert prints_its_colours(page)
        browser.close()
    assert counts == sorted(counts, reverse=True) and len(counts) == 4
    assert len(asked) == 1 and not complaints


def test_the_csvs_have_the_mark_by_which_excel_knows_utf_8(report):
    out, _ = report
    assert [(out / name).read_bytes()[:3] for name in ("faces.csv", "ads.csv")] == [b"\xef\xbb\xbf"] * 2
