"""What lies in a source: folders, zips, single files, and what is refused or set aside."""

import errno
import os
import tempfile
import zipfile
from pathlib import Path

import pytest
from trees import misname

from pipeline.campaign.faults import FAULTS, Fault
from pipeline.campaign.files import open_files, shown
from pipeline.running.errors import UserError
from pipeline.serving.pictures import Unreadable

JPEG, MP4 = b"\xff\xd8\xff\xe0" + bytes(40), b"\0\0\0\x18ftypmp42" + bytes(40)


def zipped(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return path


def test_a_folder_and_its_zip_have_the_same_files_without_what_systems_leave_there(tmp_path):
    folder = tmp_path / "campaign"
    (folder / "b").mkdir(parents=True)
    (folder / "b/one.jpg").write_bytes(JPEG)
    (folder / "one.jpg").write_bytes(JPEG)
    (folder / ".DS_Store").write_bytes(b"x")
    made = zipped(tmp_path / "campaign.zip", {"one.jpg": JPEG, "b/one.jpg": JPEG, "__MACOSX/b/._one.jpg": b"x"})
    for source in (folder, made):
        assert open_files(source, 100).names == ["b/one.jpg", "one.jpg"]
    assert open_files(folder / "one.jpg", 100).names == ["one.jpg"]


def test_row_13_a_full_disk_to_unpack_a_video_on_is_named_and_not_taken_for_a_fault_of_the_video(
    tmp_path, small_disk, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    made = zipped(tmp_path / "campaign.zip", {"film.mp4": bytes(2**25)})
    full = r"to unpack film\.mp4 \(TMPDIR names another place\): the disk is full"
    with pytest.raises(UserError, match=full), open_files(made, 2**30).video("film.mp4"):
        pass


def test_names_of_a_zip_however_a_tool_wrote_them_are_those_of_the_folder_and_can_be_read(tmp_path):
    entries = {"./a.jpg": JPEG, "b//c.jpg": JPEG, "d\\": b"", "d\\e.jpg": JPEG, "./f.mp4": MP4}
    files = open_files(zipped(tmp_path / "a.zip", entries), 100)
    assert files.names == ["a.jpg", "b/c.jpg", "d/e.jpg", "f.mp4"]
    assert all(files.picture(name, 100) == JPEG for name in files.names[:3])
    with files.video("f.mp4") as file:
        assert file.read() == MP4


def test_kinds_are_told_by_content(tmp_path):
    contents = {
        "a.txt": JPEG,
        "b.jpg": MP4,
        "c.mp4": b"#EXTM3U\nhttp://a/b.ts",
        "d.jpg": b"",
        "e.gif": b"GIF89a" + bytes(9),
        "f.heic": b"\0\0\0\x18ftypheic" + bytes(9),
    }
    files = open_files(zipped(tmp_path / "a.zip", contents), 100)
    assert (files.kind("a.txt"), files.kind("b.jpg")) == ("picture", "video")
    faulty = {
        "c.mp4": r"neither a picture \(JPEG, PNG, WEBP\) nor a video \(MP4, .*\) that can be read\.$",
        "d.jpg": "empty",
        "e.gif": r"^This is a GIF picture, which is not read; save it as PNG or JPEG\.$",
        "f.heic": r"^This is a HEIC or AVIF picture; save it as JPEG\.$",
    }
    for name, why in faulty.items():
        with pytest.raises(FAULTS, match=why):
            files.kind(name)


@pytest.mark.parametrize(
    "brand",  # ISO/IEC 23008-12, annex B; AV1 Image File Format, 6; Canon's CR3
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"crx "),
)
def test_every_picture_in_a_videos_wrapping_is_called_by_its_name(tmp_path, brand):
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(9))
    with pytest.raises(Fault, match=r"^This is a .* picture; save it as JPEG\.$"):
        open_files(tmp_path, 100).kind("a.mp4")


@pytest.mark.parametrize(
    ("name", "said"), (("missing", "not there"), ("empty", "no file in it"), ("broken.zip", "no readable zip"))
)
def test_a_source_that_is_none_is_one_line(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4" + bytes(50))
    with pytest.raises(UserError, match=f"{name}: {said}.*pictures .JPEG"):
        open_files(tmp_path / name, 100)


def test_a_source_that_cannot_be_looked_at_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"xx\.zip: can't be read \(File name too long\); grant access to it, or mend"):
        open_files(tmp_path / ("x" * 300 + ".zip"), 100)

    def closed(path):  # root may look everywhere
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    with pytest.raises(UserError, match=r"can't be read \(Permission denied\); grant access"):
        open_files(tmp_path, 100)


@pytest.mark.parametrize("entry", ("./c:/a.jpg", "../a.jpg", "/a.jpg", "b\\..\\a.jpg", "\\a.jpg", "c:\\a.jpg"))
def test_a_zip_that_leads_out_is_refused_by_name(tmp_path, entry):
    with pytest.raises(UserError, match="leads out of the zip"):
        open_files(zipped(tmp_path / "a.zip", {entry: JPEG}), 100)


def test_a_zip_that_unpacks_to_more_than_is_allowed_is_not_unpacked(tmp_path):
    large = {"a.jpg": JPEG + bytes(2**20), "b.mp4": MP4 + bytes(2**20)}
    files = open_files(zipped(tmp_path / "a.zip", large), 2**19)
    with pytest.raises(Unreadable, match=r"too large, 1\.1 MB; make it smaller, 0\.5 MB at most\.$"):
        files.picture("a.jpg", 2**19)
    said = r"too large, 1\.1 MB; one of over 0\.5 MB is read from a folder only: unpack the zip and give its folder\.$"
    with pytest.raises(Unreadable, match=said), files.video("b.mp4"):
        pass


def test_of_a_picture_in_a_folder_that_is_too_large_it_is_said_how_large_it_may_be(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG + bytes(3 * 2**20))
    with pytest.raises(Unreadable, match=r"too large, 3\.1 MB; make it smaller, 2 MB at most\.$"):
        open_files(tmp_path, 100).picture("a.jpg", 2 * 2**20)


@pytest.mark.parametrize("method", (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
def test_a_damaged_entry_of_a_zip_is_a_fault_of_that_file_alone(tmp_path, method):
    contents = {"a.jpg": JPEG + b"0123456789" * 500, "b.jpg": JPEG, "c.mp4": MP4 + os.urandom(5000)}
    path = zipped(tmp_path / "a.zip", contents, method)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as opened:
        for entry in (opened.getinfo(name) for name in ("a.jpg", "c.mp4")):
            middle = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
            data[middle : middle + 4] = b"\xff" * 4
    path.write_bytes(data)
    files = open_files(path, 10**6)
    with pytest.raises(Fault, match="can't be read"):
        files.picture("a.jpg", 10**6)
    with pytest.raises(Fault, match="can't be read"), files.video("c.mp4"):
        pass
    assert files.picture("b.jpg", 10**6) == JPEG


def test_a_damaged_name_in_a_zip_is_a_fault_of_that_file_alone(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.jpg": JPEG, "b.mp4": MP4, "c.jpg": JPEG})
    for name in ("a.jpg", "b.mp4"):
        misname(path, name)
    files = open_files(path, 100)
    for name in ("a.jpg", "b.mp4"):
        with pytest.raises(Fault, match="can't be read"):
            files.kind(name)
    with pytest.raises(Fault, match="can't be read"), files.video("b.mp4"):
        pass
    assert files.picture("c.jpg", 100) == JPEG


def test_links_to_a_folder_are_followed_and_none_of_its_pictures_counts_twice_for_one_to_where_it_lies(tmp_path):
    for folder in ("spring/a", "spring/b", "shared"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("spring/one.jpg", "spring/a/two.jpg", "shared/three.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    for link, to in (("latest", "."), ("a/up", ".."), ("b/up", ".."), ("b/shared", "../../shared")):
        (tmp_path / "spring" / link).symlink_to(to)
    files = open_files(tmp_path / "spring", 100)
    assert files.names == ["a/two.jpg", "b/shared/three.jpg", "one.jpg"]
    assert files.picture("b/shared/three.jpg", 100) == JPEG


def test_a_pipe_and_a_dangling_link_are_faults_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to("nowhere.jpg")
    files = open_files(tmp_path, 100)
    for name in files.names:
        with pytest.raises(Fault, match="can't be read"):
            files.kind(name)


def test_names_are_shown_as_printable_text():
    assert shown("Sommer ☀ 1.jpg") == "Sommer ☀ 1.jpg"
    for name in ("Screenshot at 10.00\u202fAM.png", "\u0645\u06cc\u200c\u062e.jpg", "\U0001f468\u200d\U0001f469.jpg"):
        assert shown(name) == name  # a narrow space, letters and a sign that stand apart or together by what is between
    assert shown("a\u202egpj.exe\u2028") == "a\\u202egpj.exe\\u2028"
    assert shown("a\nb\x1b[0m.jpg") == "a\\nb\\x1b[0m.jpg"
    assert shown(os.fsdecode(b"\xff.jpg")) == "\\udcff.jpg"
