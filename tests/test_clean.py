"""Cleaning: rows 4-14 of the faults as the step sees them, and what each duplicate means."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import composed
from PIL import Image
from shells import shell
from trees import cleaned, config, digests, encoded, picture, tree, write, zipped

from pipeline import clean, draw
from pipeline.images import survey
from pipeline.images.layout import Place
from pipeline.images.manifest import bad, within_limit
from pipeline.labels import FOLDERS, LABELS, SPLITS
from pipeline.running import cli
from pipeline.running.errors import UserError


@pytest.fixture
def raw(tmp_path):
    """Enough good images that one bad one is under the share at which the step fails."""
    return tree(tmp_path / "raw")


def test_good_images_are_kept(tmp_path, raw):
    manifest, summary = cleaned(tmp_path, raw)
    assert manifest.kept.all()
    assert manifest.index.is_monotonic_increasing
    assert summary["images"] == summary["kept"] == len(manifest) == 42
    assert LABELS[manifest.label["train/sad/0.jpg"]] == "sadness"
    assert (summary["name"], summary["source"]) == ("own", str(raw))
    assert sum(count["images"] for count in summary["counts"]) == 42


@pytest.mark.parametrize("now", [None, b""])
def test_an_image_that_changes_while_it_is_cleaned_is_one_line(tmp_path, raw, monkeypatch, now):
    write(raw, "train/happy/blank.png", encoded(Image.new("RGB", (48, 48)), "PNG"))
    judge = clean.judge

    def judge_and_change(*arguments):
        (raw / "train/happy/blank.png").unlink()
        if now is not None:
            write(raw, "train/happy/blank.png", now)
        return judge(*arguments)

    monkeypatch.setattr(clean, "judge", judge_and_change)
    with pytest.raises(UserError, match=f"^{raw}: train/happy/blank.png has changed since it was looked at; run "):
        cleaned(tmp_path, raw)
    assert not (tmp_path / "clean").exists()


def test_where_the_data_set_lies_is_told_unless_it_is_the_top(tmp_path, raw, capsys):
    cleaned(tmp_path, raw)
    assert "own: 42 of 42 images kept\n" in capsys.readouterr().out
    raw.rename(tmp_path / "faces")
    raw.mkdir()
    (tmp_path / "faces").rename(raw / "faces")
    _, summary = cleaned(tmp_path, raw)
    assert "own: 42 of 42 images kept (below faces/)\n" in capsys.readouterr().out
    assert summary["root"] == "faces/" and f"{raw}, below faces/" in (tmp_path / "clean/report.html").read_text()


def test_a_folder_behind_a_link_where_dvc_sees_no_change_is_named(tmp_path, raw, capsys):
    cleaned(tmp_path, raw)
    assert "is a link" not in capsys.readouterr().out
    (raw / "valid").rename(tmp_path / "valid")
    (raw / "valid").symlink_to(tmp_path / "valid")
    cleaned(tmp_path, raw)
    assert f"{raw}/valid is a link: dvc repro does not see changes behind it; use " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("zero_bytes", b""),
        ("truncated", encoded(picture(1))[:400]),
        ("not_an_image", np.random.default_rng(0).bytes(700)),
        ("blank", encoded(Image.new("RGB", (48, 48), (128, 128, 128)))),
        ("blank", encoded(Image.new("RGB", (48, 48), (0, 0, 0)), "PNG")),
        ("too_many_pixels", encoded(Image.new("1", (9000, 9000)), "PNG")),
        ("too_many_bytes", encoded(picture(1)) + bytes(40_000_000)),
    ],
)
def test_row_4_a_bad_image_is_set_aside(tmp_path, raw, reason, data):
    write(raw, "train/happy/bad.jpg", data)
    manifest, summary = cleaned(tmp_path, raw)
    row = manifest.loc["train/happy/bad.jpg"]
    assert (row.kept, row.reason, row.bytes) == (False, reason, len(data))
    assert summary["reasons"] == {reason: 1}
    assert summary["kept"] == 42
    assert (tmp_path / "clean" / f"removed_{reason}.png").exists() == (reason == "blank")


def test_damaged_zip_entry_is_set_aside(tmp_path, raw):
    archive = zipped(raw, tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    inside = (raw / "train/happy/1.jpg").read_bytes()
    data[data.index(inside) + 300] ^= 0xFF  # no longer as its checksum says
    archive.write_bytes(data)
    manifest, _ = cleaned(tmp_path, archive)
    assert manifest.reason[~manifest.kept].to_dict() == {"train/happy/1.jpg": "unreadable"}


def test_row_5_the_name_does_not_matter_the_content_does(tmp_path, raw):
    write(raw, "train/happy/really_a_png.jpg", encoded(picture(900), "PNG"))
    write(raw, "train/happy/no_suffix", encoded(picture(901), "WEBP"))
    manifest, _ = cleaned(tmp_path, raw)
    assert manifest.kept.all()
    assert manifest.format["train/happy/really_a_png.jpg"] == "PNG"
    assert manifest.format["train/happy/no_suffix"] == "WEBP"


def test_row_8_the_first_frame_is_said_so(tmp_path, raw):
    frames = [picture(900), picture(901)]
    write(raw, "train/happy/moves.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    two_views = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])  # of a camera with two lenses
    write(raw, "train/happy/views.jpg", two_views)
    manifest, summary = cleaned(tmp_path, raw)
    assert manifest.frames[["train/happy/moves.gif", "train/happy/views.jpg"]].tolist() == [2, 2]
    assert summary["animated"] == 1


def test_gray_is_decided_from_pixels_not_mode(tmp_path, raw):
    write(raw, "train/happy/gray_as_rgb.png", encoded(picture(900), "PNG"))
    write(raw, "train/happy/colour.png", encoded(picture(901, colour=True), "PNG"))
    manifest, _ = cleaned(tmp_path, raw)
    assert manifest.loc["train/happy/gray_as_rgb.png", ["mode", "gray"]].tolist() == ["RGB", True]
    assert not manifest.gray["train/happy/colour.png"]


def test_dark_faces_stay(tmp_path, raw):
    dark = Image.fromarray(np.asarray(picture(900)) // 10)  # no pixel over 25 of 255
    write(raw, "train/happy/dark.jpg", encoded(dark, quality=20))
    manifest, _ = cleaned(tmp_path, raw)
    assert manifest["mean"]["train/happy/dark.jpg"] < 20
    assert manifest.kept["train/happy/dark.jpg"]


def test_row_10_duplicates_are_reported_and_leave_train_only(tmp_path, raw):
    same = {seed: (encoded(picture(seed), "PNG"), encoded(picture(seed), "BMP")) for seed in range(900, 906)}
    places = {
        900: ("train/happy/a.png", "test/happy/a.png"),
        901: ("train/happy/b.png", "valid/sad/b.png"),
        902: ("train/happy/c.png", "train/happy/d.png", "train/angry/c.png"),
        903: ("valid/happy/e.png", "test/happy/e.png", "train/fear/e.png"),
        904: ("test/fear/f.png", "test/happy/f.png"),
        905: ("valid/fear/g.png", "valid/fear/h.png"),
    }
    for seed, ids in places.items():
        for number, id in enumerate(ids):
            write(raw, id, same[seed][number % 2])  # other bytes, the same pixels
    manifest, summary = cleaned(tmp_path, raw)
    left = manifest[~manifest.kept]
    assert left[["reason", "of"]].T.to_dict("list") == {
        "train/fear/e.png": ["duplicate_of_test", "test/happy/e.png"],
        "train/happy/a.png": ["duplicate_of_test", "test/happy/a.png"],
        "train/happy/b.png": ["duplicate_of_valid", "valid/sad/b.png"],
        "train/happy/c.png": ["duplicate_in_train", "train/angry/c.png"],
        "train/happy/d.png": ["duplicate_in_train", "train/angry/c.png"],
    }
    assert manifest[manifest.note != ""][["note", "of"]].T.to_dict("list") == {
        "test/happy/e.png": ["duplicate_of_valid", "valid/happy/e.png"],
        "test/happy/f.png": ["duplicate_in_test", "test/fear/f.png"],
        "valid/fear/h.png": ["duplicate_in_valid", "valid/fear/g.png"],
        "valid/happy/e.png": ["duplicate_of_test", "test/happy/e.png"],
    }
    other = set(manifest.index[manifest.other_label])
    assert other == {id for seed in (901, 902, 903, 904) for id in places[seed]}
    assert summary["identical_pixels"] == {"groups": 6, "surplus": 8, "across_splits": 3, "other_label": 4}


def test_blank_image_is_no_reason_to_drop_another(tmp_path, raw):
    blank = encoded(Image.new("RGB", (48, 48)))
    for id in ("train/happy/x.jpg", "train/sad/x.jpg", "test/sad/x.jpg"):
        write(raw, id, blank)
    manifest, _ = cleaned(tmp_path, raw, "data.max_bad_share=0.1")
    assert manifest.reason[~manifest.kept].tolist() == ["blank"] * 3


def test_row_11_too_many_bad_images_fail_the_step(tmp_path, raw):
    for number in range(4):
        write(raw, f"train/happy/bad{number}.jpg", b"")
    with pytest.raises(UserError, match=r"4 of 46 images are bad, over max_bad_share=0\.05: 4 zero_bytes") as caught:
        cleaned(tmp_path, raw)
    assert "train/happy/bad0.jpg" in str(caught.value)
    assert not (tmp_path / "clean").exists()
    cleaned(tmp_path, raw, "data.max_bad_share=0.1")


def test_row_3_a_class_that_cleaning_empties_fails_the_step(tmp_path, raw):
    for number in range(2):
        write(raw, f"valid/fear/{number}.jpg", b"")
    with pytest.raises(UserError, match="no image of fear is left in valid"):
        cleaned(tmp_path, raw)


def test_limit_draws_in_proportion_and_nested(tmp_path):
    ids = [f"{split}/{folder}/{n}" for split in SPLITS for folder in FOLDERS for n in range(9)]
    ids = sorted(ids + [f"train/happy/more{n}" for n in range(300)])
    places = {id: Place(id.split("/")[0], LABELS.index(FOLDERS[id.split("/")[1]])) for id in ids}
    small, large = within_limit(places, 30, seed=0), within_limit(places, 60, seed=0)
    assert set(small) < set(large)
    assert small == sorted(small) == within_limit(dict(reversed(places.items())), 30, seed=0)
    assert small != within_limit(places, 30, seed=1)
    for split in ("train", "valid", "test"):
        drawn = [id for id in small if id.startswith(split)]
        assert 20 <= len(drawn) <= 30
        assert {id.split("/")[1] for id in drawn} == set(FOLDERS)
    assert sum(id.startswith("train/happy") for id in small) > 15
    assert within_limit(places, "all", seed=0) == ids
    with pytest.raises(UserError, match="limit=3"):  # at least one image of each class
        composed("clean", "data=own", "limit=3")


def test_limit_is_applied_before_decoding(tmp_path, raw):
    write(raw, "train/happy/bad.jpg", b"")
    manifest, summary = cleaned(tmp_path, raw, "limit=7")
    assert len(manifest) == 21
    assert summary["limit"] == 7


def test_row_14_the_same_input_gives_the_same_bytes(tmp_path, raw):
    write(raw, "train/happy/bad.jpg", encoded(Image.new("RGB", (48, 48))))
    cleaned(tmp_path, raw)
    first = digests(tmp_path / "clean")
    cleaned(tmp_path, raw, "shard=5")  # with worker processes
    assert digests(tmp_path / "clean") == first


def start(tmp_path, raw) -> subprocess.Popen:
    """`clean` in many small shards, in a process of its own and a process group, as a shell starts it."""
    command = [sys.executable, "-m", "pipeline.clean", "data=own", f"source={raw}", "shard=2"]
    command += [f"paths.{name}={tmp_path / 'cut' / name}" for name in ("clean", "cache")]
    return subprocess.Popen(command, cwd=cli.CONF.parent, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(folder: Path, pattern: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        assert process.poll() is None and time.monotonic() < deadline, f"no {pattern}"
        time.sleep(0.001)


def test_row_12_killed_at_any_moment_then_run_again(tmp_path, raw):
    cleaned(tmp_path, raw)
    whole, cut = digests(tmp_path / "clean"), tmp_path / "cut"
    first, later = "cache/clean/*/000000.feather", "cache/clean/*/00001*.feather"
    for moment in (first, later, "*clean*"):  # the last is .clean.1234.partial, or clean where it is that fast
        process = start(tmp_path, raw)
        wait_for(cut, moment, process)
        process.kill()
        process.communicate()
        assert not (cut / "clean").exists() or digests(cut / "clean") == whole
    process = start(tmp_path, raw)
    process.communicate()
    assert process.returncode == 0
    assert digests(cut / "clean") == whole
    assert not list((cut / "cache").rglob("*.feather"))


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, raw):
    process = start(tmp_path, raw)
    wait_for(tmp_path, "cut/cache/clean/*/00000[3-9].feather", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "pipeline.clean: interrupted; the same command goes on from what was finished"
    assert "Traceback" not in err
    assert {"clean", "audit", "resize"} <= set(cli.GOES_ON)
    assert list((tmp_path / "cut/cache/clean").glob("*/*.feather"))


def cut_off(tmp_path, raw, monkeypatch) -> list[str]:
    """Cut `clean` off at the first happy face of train; the ids that are looked at from then on."""

    def interrupted(raw, looks, ids, path):
        if any("train/happy" in id for id in ids):
            raise KeyboardInterrupt
        look(raw, looks, ids, path)

    look, looked = survey.look, []
    monkeypatch.setattr(survey, "look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cleaned(tmp_path, raw, "shard=12")
    monkeypatch.setattr(survey, "look", lambda raw, looks, ids, path: (looked.extend(ids), look(raw, looks, ids, path)))
    return looked


def test_row_12_resumes_after_the_last_whole_shard(tmp_path, raw, monkeypatch):
    looked = cut_off(tmp_path, raw, monkeypatch)
    manifest, _ = cleaned(tmp_path, raw, "shard=12")
    assert len(manifest) == 42
    assert len(looked) == 42 - 12


def test_what_was_looked_at_by_other_code_is_not_taken(tmp_path, raw, monkeypatch):
    looked = cut_off(tmp_path, raw, monkeypatch)
    write(tmp_path, "survey.py", Path(survey.__file__).read_bytes() + b"# edited")
    monkeypatch.setattr(survey, "__file__", str(tmp_path / "survey.py"))
    cleaned(tmp_path, raw, "shard=12")
    assert len(looked) == 42


@pytest.mark.parametrize("place", ["clean", "cache"])
def test_row_13_a_full_disk_is_named_and_earlier_output_stays(tmp_path, raw, small_disk, place):
    here = f"paths.{place}={small_disk / place}"
    cleaned_before = small_disk if place == "clean" else tmp_path
    clean.main(config(tmp_path, raw, here))
    before = digests(cleaned_before / "clean")
    with contextlib.suppress(OSError), (small_disk / "other").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(UserError, match=f"{place}.*: the disk is full"):
        clean.main(config(tmp_path, raw, here))
    assert digests(cleaned_before / "clean") == before
    (small_disk / "other").unlink()
    clean.main(config(tmp_path, raw, here))
    assert digests(cleaned_before / "clean") == before


def test_row_13_a_full_disk_is_named_wherever_it_is_met(tmp_path, raw, monkeypatch):
    cleaned(tmp_path, raw)
    before = digests(tmp_path / "clean")

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(UserError, match="the disk is full"):
        cleaned(tmp_path, raw)
    assert digests(tmp_path / "clean") == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data=own", "source=nowhere"), "no such folder, .zip or .csv"),
        (("data=own",), "source"),
        (("data=own", "sourse=x"), "sourse"),
        (("data=fake", "source=x"), "real_faces"),
    ],
)
def test_row_1_user_mistakes_are_one_line(tmp_path, monkeypatch, capfd, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = shell(monkeypatch, capfd, "clean", *arguments)
    assert code == 2
    (line,) = err.splitlines()
    assert said in line


def test_row_10_near_duplicates(tmp_path, raw):
    mirrored = picture(900, size=96).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    write(raw, "test/happy/a.jpg", encoded(picture(900, size=96)))
    write(raw, "train/happy/mirrored.jpg", encoded(mirrored, quality=40))
    write(raw, "train/fear/b.jpg", encoded(picture(901, size=64)))
    write(raw, "train/sad/b_small.jpg", encoded(picture(901, size=64).resize((50, 50))))
    write(raw, "valid/fear/c.jpg", encoded(picture(902)))
    write(raw, "valid/fear/c_again.jpg", encoded(picture(902), quality=30))
    manifest, summary = cleaned(tmp_path, raw)
    left = manifest[~manifest.kept]
    assert left[["reason", "of"]].T.to_dict("list") == {
        "train/happy/mirrored.jpg": ["near_duplicate_of_test", "test/happy/a.jpg"],
        "train/sad/b_small.jpg": ["near_duplicate_in_train", "train/fear/b.jpg"],
    }
    assert left.similarity.between(0.92, 1).all()
    assert manifest.note["valid/fear/c_again.jpg"] == "near_duplicate_in_valid"
    assert set(manifest.index[manifest.other_label]) == {"train/sad/b_small.jpg", "train/fear/b.jpg"}
    assert summary["reasons"] == {"near_duplicate_in_train": 1, "near_duplicate_of_test": 1}


def test_of_drawn_faces_every_planted_fault_leaves_and_nothing_else(tmp_path):
    small = ["images={train:250,valid:50,test:50}", "camera.supersampling=1", f"output={tmp_path / 'sample'}"]
    draw.main(composed("draw", *small))
    manifest, _ = cleaned(tmp_path, tmp_path / "sample", "data.max_bad_share=0.2")
    truth = pd.read_csv(tmp_path / "sample" / "truth.csv")
    assert len(truth) > 60
    assert set(manifest.index[~manifest.kept]) == set(truth.id[truth.expected == "drop"])
    reported = truth.id[truth.expected == "report"]
    assert (manifest.note[reported] != "").all()


def test_a_person_can_overrule(tmp_path, raw):
    write(raw, "test/happy/a.jpg", encoded(picture(900)))
    write(raw, "train/happy/like_a.jpg", encoded(picture(900), quality=30))
    write(raw, "train/happy/blank.jpg", encoded(Image.new("RGB", (48, 48))))
    kept = "data.allow=[train/happy/like_a.jpg,train/happy/blank.jpg]"
    manifest, _ = cleaned(tmp_path, raw, kept, "data.deny=[train/sad/0.jpg]")
    assert manifest.reason[~manifest.kept].to_dict() == {"train/sad/0.jpg": "denied"}


def test_a_denied_image_takes_its_copies_of_the_same_label_in_train_with_it(tmp_path, raw):
    for id in ("train/happy/a.jpg", "train/happy/b.jpg", "train/sad/c.jpg"):
        write(raw, id, encoded(picture(900)))
    manifest, _ = cleaned(tmp_path, raw, "data.deny=[train/happy/a.jpg]")
    denied = manifest[manifest.reason == "denied"]
    assert denied.of.to_dict() == {"train/happy/a.jpg": "", "train/happy/b.jpg": "train/happy/a.jpg"}
    assert manifest.kept["train/sad/c.jpg"]
    both = ("data.deny=[train/happy/a.jpg]", "data.allow=[train/happy/b.jpg]")
    manifest, _ = cleaned(tmp_path, raw, *both)
    assert manifest.kept["train/happy/b.jpg"]
    write(raw, "valid/happy/d.jpg", encoded(picture(900)))
    manifest, _ = cleaned(tmp_path, raw, "data.deny=[train/happy/a.jpg]")
    assert manifest.kept["valid/happy/d.jpg"]


def test_a_denied_image_takes_those_nearly_like_it_of_the_same_label_in_train_with_it(tmp_path, raw):
    write(raw, "train/happy/b.jpg", encoded(picture(900)))
    for id in ("train/happy/a.jpg", "train/happy/c.jpg", "train/sad/d.jpg", "valid/happy/e.jpg"):
        write(raw, id, encoded(picture(900), quality=30 + 10 * "abcde".index(id[-5])))
    manifest, _ = cleaned(tmp_path, raw, "data.deny=[train/happy/b.jpg]")
    assert manifest.of[manifest.reason == "denied"].to_dict() == {
        "train/happy/a.jpg": "train/happy/b.jpg",
        "train/happy/b.jpg": "",
        "train/happy/c.jpg": "train/happy/b.jpg",
    }
    assert (manifest.similarity["train/happy/a.jpg"] < 1) and manifest.kept["valid/happy/e.jpg"]
    assert manifest.reason["train/sad/d.jpg"] == "near_duplicate_of_valid"
    both = ("data.deny=[train/happy/b.jpg]", "data.allow=[train/happy/c.jpg]")
    manifest, _ = cleaned(tmp_path, raw, *both)
    assert manifest.kept["train/happy/c.jpg"] and not manifest.kept["train/happy/a.jpg"]


def test_a_person_can_not_overrule_a_leak_of_the_same_pixels(tmp_path, raw):
    for id in ("test/happy/a.jpg", "train/happy/a.jpg"):
        write(raw, id, encoded(picture(900)))
    with pytest.raises(UserError, match=r"'train/happy/a\.jpg' can't stay: duplicate_of_test"):
        cleaned(tmp_path, raw, "data.allow=[train/happy/a.jpg]")


def test_listed_id_that_is_not_there_is_named(tmp_path, raw):
    with pytest.raises(UserError, match=r"data\.deny: 'train/happy/none\.jpg' is not in the source"):
        cleaned(tmp_path, raw, "data.deny=[train/happy/none.jpg]")


def test_report_needs_no_other_file_and_is_safe(tmp_path, raw):
    write(raw, "train/happy/<script>.jpg", b"")
    write(raw, "train/happy/blank.jpg", encoded(Image.new("RGB", (48, 48))))
    cleaned(tmp_path, raw)
    page = (tmp_path / "clean" / "report.html").read_text()
    assert "&lt;script&gt;.jpg" in page
    assert "<script" not in page
    assert 'src="data:image/jpeg;base64,' in page
    assert "http" not in page


def test_what_a_person_denied_is_no_bad_image_however_much_it_is(tmp_path, raw):
    for number in range(28):
        write(raw, f"train/happy/more_{number}.jpg", encoded(picture(900 + number)))
    denied = [f"train/happy/more_{number}.jpg" for number in range(28)]  # of 70
    manifest, _ = cleaned(tmp_path, raw, f"data.deny=[{','.join(denied)}]", "data.max_bad_share=0.1")
    assert sorted(manifest.index[manifest.reason == "denied"]) == sorted(denied)
    assert bad(manifest).empty
