"""Rows 1-3 of the faults: a source that is missing, unsafe or not in the layout is refused in one line."""

import errno
import os
import pickle
import re
import stat
import zipfile
from pathlib import Path

import pytest
from trees import PLAIN, misname, tree, write, zipped

from pipeline.images.source import open_source
from pipeline.running.errors import UserError


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        open_source(path, PLAIN)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_folder_and_zip_have_the_same_ids_and_bytes(tmp_path):
    root = tree(tmp_path / "tree")
    folder, archive = open_source(root, PLAIN), open_source(zipped(root, tmp_path / "a.zip", "deep/MMAFEDB/"), PLAIN)
    assert folder.ids() == archive.ids() == sorted(folder.ids())
    assert len(folder.ids()) == 3 * 7 * 2
    id = "valid/happy/1.jpg"
    assert folder.read(id) == archive.read(id) == (root / id).read_bytes()
    assert folder.size(id) == archive.size(id) == len(folder.read(id))


def test_a_zip_however_a_tool_wrote_its_names_has_the_ids_and_bytes_of_the_folder(tmp_path):
    root = tree(tmp_path / "tree")
    folder = open_source(root, PLAIN)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for number, id in enumerate(folder.ids()):
            name = (f"./{id}", id.replace("/", "//"), id.replace("/", "\\"))[number % 3]
            out.writestr(name, (root / id).read_bytes())
        out.writestr("train\\angry\\", b"")
    archive = open_source(tmp_path / "a.zip", PLAIN)
    assert archive.ids() == folder.ids()
    assert all(archive.read(id) == folder.read(id) for id in folder.ids())
    assert archive.size(folder.ids()[0]) == folder.size(folder.ids()[0])
    assert archive.fingerprint() == archive.fingerprint()


def test_an_image_whose_packed_bytes_are_damaged_cannot_be_read_and_says_its_name(tmp_path):
    source = open_source(tree(tmp_path / "tree"), PLAIN)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as out:
        for id in source.ids():
            out.writestr(id, source.read(id) * 50)
    data, id = bytearray(path.read_bytes()), source.ids()[0]
    with zipfile.ZipFile(path) as opened:
        entry = opened.getinfo(id)
    middle = entry.header_offset + 30 + len(id) + entry.compress_size // 2
    data[middle : middle + 4] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(OSError, match=id):
        open_source(path, PLAIN).read(id)


def test_an_image_whose_name_in_the_zip_is_damaged_cannot_be_read_and_the_others_can(tmp_path):
    source = open_source(zipped(tree(tmp_path / "tree"), tmp_path / "a.zip", "MMAFEDB/"), PLAIN)
    id, other = source.ids()[:2]
    misname(tmp_path / "a.zip", "MMAFEDB/" + id)
    damaged = open_source(tmp_path / "a.zip", PLAIN)
    with pytest.raises(OSError, match=id):
        damaged.read(id)
    assert damaged.read(other) == source.read(other)


@pytest.mark.parametrize("below", ["", "MMAFEDB", "a/b"])
def test_layout_is_found_below_the_path(tmp_path, below):
    tree(tmp_path / below)
    assert open_source(tmp_path, PLAIN).ids()[0] == "test/angry/0.jpg"


def test_files_beside_the_layout_are_ignored(tmp_path):
    root = tree(tmp_path / "MMAFEDB")
    ids = open_source(tmp_path, PLAIN).ids()
    for beside in ("../truth.csv", "notes.txt", "train/readme.md", "train/angry/.DS_Store", "train/angry/Thumbs.db"):
        write(root, beside, b"x")
    for beside in ("../__MACOSX/train/angry/._1.jpg", "train/.ipynb_checkpoints/1.jpg", "other/folder/1.jpg"):
        write(root, beside, b"x")
    for beside in ("train/angry/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", "test/sad/thumbs.db"):
        write(root, beside, b"x")
    assert open_source(tmp_path, PLAIN).ids() == ids
    assert open_source(zipped(tmp_path, tmp_path.with_suffix(".zip"), ""), PLAIN).ids() == ids


def test_source_reads_in_another_process(tmp_path):
    source = open_source(zipped(tree(tmp_path / "t"), tmp_path / "a.zip"), PLAIN)
    source.read("train/sad/0.jpg")
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read("train/sad/0.jpg") == source.read("train/sad/0.jpg")


def test_fingerprint_tells_a_changed_image(tmp_path):
    root = tree(tmp_path)
    before = open_source(root, PLAIN).fingerprint()
    assert before == open_source(root, PLAIN).fingerprint()
    write(root, "train/sad/0.jpg", b"other")
    assert before != open_source(root, PLAIN).fingerprint()


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(tmp_path):
    root = tree(tmp_path)
    before = open_source(root, PLAIN).fingerprint()
    (root / "train/sad/gone.jpg").symlink_to("/nowhere/gone.jpg")
    source = open_source(root, PLAIN)
    assert "train/sad/gone.jpg" in source.ids()
    assert source.fingerprint() != before
    with pytest.raises(OSError):
        source.read("train/sad/gone.jpg")


def test_a_link_to_a_folder_is_followed_and_one_to_where_it_lies_is_not(tmp_path):
    root = tree(tmp_path / "tree")
    ids = open_source(root, PLAIN).ids()
    (root / "latest").symlink_to(".")
    for split in ("train", "valid"):
        (root / split / "sad/up").symlink_to("../..")
    (root / "test/happy").rename(tmp_path / "elsewhere")
    (root / "test/happy").symlink_to(tmp_path / "elsewhere")
    assert open_source(root, PLAIN).ids() == ids
    (tmp_path / "elsewhere/back").symlink_to(root / "test")
    assert open_source(root, PLAIN).ids() == ids


def test_a_pipe_is_an_image_that_cannot_be_read(tmp_path):
    os.mkfifo(tree(tmp_path) / "train/sad/pipe.jpg")
    source = open_source(tmp_path, PLAIN)
    for look in (source.size, source.read):
        with pytest.raises(OSError, match="not a file"):
            look("train/sad/pipe.jpg")


def test_links_to_folders_that_images_lie_behind_are_known(tmp_path):
    root = tree(tmp_path / "tree")
    assert open_source(zipped(root, tmp_path / "a.zip"), PLAIN).links() == []
    (root / "deep").mkdir()
    for split in ("train", "valid", "test"):
        (root / split).rename(root / "deep" / split)
    (root / "deep/train/sad/0.jpg").rename(tmp_path / "0.jpg")
    (root / "deep/train/sad/0.jpg").symlink_to(tmp_path / "0.jpg")
    (tmp_path / "link").symlink_to(root)
    (root / "empty").symlink_to(tmp_path)
    assert open_source(tmp_path / "link", PLAIN).links() == []
    (root / "deep").rename(tmp_path / "deep")
    (root / "deep").symlink_to(tmp_path / "deep")
    (tmp_path / "deep/test/happy").rename(tmp_path / "happy")
    (tmp_path / "deep/test/happy").symlink_to(tmp_path / "happy")
    assert open_source(root, PLAIN).links() == [str(root / "deep"), str(root / "deep/test/happy")]


def test_row_1_missing_source(tmp_path):
    assert "no such folder, .zip or .csv" in refusal(tmp_path / "nowhere")


def test_row_1_a_source_that_cannot_be_looked_at(tmp_path, monkeypatch):
    assert "can't be read (File name too long)" in refusal(tmp_path / ("x" * 300))

    def closed(path):  # root may look everywhere
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    assert "can't be read (Permission denied); grant access" in refusal(tmp_path)


def test_row_1_a_folder_that_may_be_listed_and_not_entered(tmp_path, monkeypatch):
    tree(tmp_path, per_class=1)
    stat = os.stat

    def closed(path, *rest, **how):
        if str(path).endswith("/valid"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *rest, **how)

    monkeypatch.setattr(os, "stat", closed)
    assert "valid: the folder can't be read (Permission denied); grant access" in refusal(tmp_path)


def test_row_1_empty_source(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "{train,valid,test}/{angry," in refusal(tmp_path / "empty")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert "{train,valid,test}/{angry," in refusal(tmp_path / "empty.zip")


@pytest.mark.parametrize("data", [b"", b"plain text", b"PK\x03\x04" + bytes(200)])
def test_row_1_not_a_zip(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    assert "expected a folder or a .zip of {train," in refusal(tmp_path / "a.zip")


def test_row_1_half_a_zip(tmp_path):
    whole = zipped(tree(tmp_path / "t"), tmp_path / "a.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    assert "no readable zip" in refusal(tmp_path / "half.zip")


def test_row_1_a_zip_of_a_version_that_is_none(tmp_path):
    path = zipped(tree(tmp_path / "t"), tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 212  # version needed to extract, of the first entry
    path.write_bytes(data)
    assert "no readable zip (zip file version 21.2)" in refusal(path)


def test_row_1_encrypted_zip(tmp_path):
    path = zipped(tree(tmp_path / "t"), tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02")
    data[start + 8] |= 1  # the flag in the first central directory entry
    path.write_bytes(data)
    assert "is encrypted" in refusal(path)


def test_row_1_wrong_layout(tmp_path):
    write(tmp_path, "faces/happy/1.jpg", b"x")
    assert "no train/, valid/ and test/" in refusal(tmp_path)


def test_two_data_sets_in_one(tmp_path):
    tree(tmp_path / "a")
    tree(tmp_path / "b")
    assert "two data sets" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["../../evil.jpg", "/etc/evil.jpg", "MMAFEDB/train/sad/../../../evil.jpg", "C:/e.jpg"])
def test_row_2_zip_that_leads_out_is_refused_by_name(tmp_path, name):
    path = zipped(tree(tmp_path / "t"), tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as out:
        out.writestr(name, b"x")
    assert repr(name) in refusal(path)


def test_row_2_zip_with_a_link_is_refused_by_name(tmp_path):
    path = zipped(tree(tmp_path / "t"), tmp_path / "a.zip")
    entry = zipfile.ZipInfo("MMAFEDB/train/happy/link.jpg")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as out:
        out.writestr(entry, "/etc/passwd")
    assert "'MMAFEDB/train/happy/link.jpg' is a link" in refusal(path)


def test_zip_with_a_name_twice_is_refused_by_name(tmp_path):
    path = zipped(tree(tmp_path / "t"), tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as out, pytest.warns(UserWarning):
        out.writestr("MMAFEDB/train/happy/0.jpg", b"x")
    assert "'MMAFEDB/train/happy/0.jpg' stands in it twice" in refusal(path)


def test_row_3_unknown_class(tmp_path):
    write(tree(tmp_path), "train/hapy/1.jpg", b"x")
    message = refusal(tmp_path)
    assert "'train/hapy'" in message
    assert "angry, disgust, fear, happy, neutral, sad, surprise" in message


@pytest.mark.parametrize("leave_folder", [True, False])
def test_row_3_class_without_images(tmp_path, leave_folder):
    tree(tmp_path)
    for file in (tmp_path / "valid" / "disgust").iterdir():
        file.unlink()
    if not leave_folder:
        (tmp_path / "valid" / "disgust").rmdir()
    message = refusal(tmp_path)
    assert "'valid/disgust'" in message
    assert "angry, disgust, fear, happy, neutral, sad, surprise" in message


def test_row_3_split_without_images(tmp_path):
    tree(tmp_path)
    (tmp_path / "valid").rename(tmp_path / "val")
    assert "split 'valid' is missing or empty" in refusal(tmp_path)


@pytest.mark.parametrize("place", ["", "new"])
def test_a_whole_data_set_is_not_taken_for_one_no_deeper_that_lacks_a_split(tmp_path, place):
    tree(tmp_path / "old")
    tree(tmp_path / place)
    (tmp_path / place / "valid").rename(tmp_path / place / "val")
    prefix = place + "/" if place else ""
    for message in (refusal(tmp_path), refusal(zipped(tmp_path, tmp_path / "a.zip", ""))):
        assert f"split '{prefix}valid' is missing beside '{prefix}train', and a whole data set lies in 'old'" in message


def test_folders_named_as_splits_that_hold_no_classes_and_deeper_ones_are_no_data_set(tmp_path):
    ids = open_source(tree(tmp_path / "faces"), PLAIN).ids()
    write(tmp_path, "test/notes.txt", b"x")
    write(tmp_path, "faces/backup/train/happy/1.jpg", b"x")
    source = open_source(tmp_path, PLAIN)
    assert (source.ids(), source.root) == (ids, "faces/")


def test_row_1_a_path_that_is_no_text(tmp_path):
    root = tree(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(UserError, match="not valid UTF-8; rename it"):
        open_source(root, PLAIN)


def test_names_that_a_mac_zipped_without_saying_that_they_are_utf_8(tmp_path):
    root = tree(tmp_path / "tree")
    (root / "train/happy/0.jpg").rename(root / "train/happy/Zoë.jpg")
    data = bytearray(zipped(root, tmp_path / "a.zip", "").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        for found in re.finditer(re.escape(signature), bytes(data)):
            data[found.start() + flags] &= ~0x08
    (tmp_path / "a.zip").write_bytes(data)
    archive, id = open_source(tmp_path / "a.zip", PLAIN), "train/happy/Zoë.jpg"
    assert archive.ids() == open_source(root, PLAIN).ids()
    assert archive.read(id) == (root / id).read_bytes()


def test_a_slash_behind_a_zip_changes_nothing_and_a_disk_that_fails_is_called_so(tmp_path, monkeypatch):
    path = zipped(tree(tmp_path / "tree"), tmp_path / "a.zip")
    assert open_source(f"{path}/", PLAIN).fingerprint() == open_source(path, PLAIN).fingerprint()
    source = open_source(path, PLAIN)

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zipfile, "ZipFile", fail)
    with pytest.raises(UserError, match=r"a\.zip: can't be read \(Input/output error\)"):
        source.fingerprint()


def test_a_zip_that_has_changed_since_it_was_listed_is_one_line(tmp_path):
    path = zipped(tree(tmp_path / "tree"), tmp_path / "a.zip")
    whole = path.read_bytes()
    for now in (whole[: len(whole) // 2], zipped(tree(tmp_path / "tree", seed=9), tmp_path / "b.zip", "").read_bytes()):
        path.write_bytes(whole)
        source = open_source(path, PLAIN)
        path.write_bytes(now)
        with pytest.raises(
            UserError, match=r"a\.zip: test/angry/0\.jpg has changed since it was looked at; run the same command"
        ):
            source.fingerprint()
