"""Files and folders are whole or absent, whatever happens while they are written."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.running.errors import UserError
from pipeline.running.files import check_place, locked, whole_file, whole_folder, write_json
from pipeline.running.signals import stoppable

ROOT = Path(__file__).resolve().parents[2]


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def python(code, *command):
    return subprocess.run([*command, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_a_file_is_there_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with whole_file(path) as beside:
        beside.write_text("a,b")
        assert not path.exists()
        assert beside.suffix == ".csv"
        assert beside.parent == path.parent
        inode = beside.stat().st_ino
    assert content(tmp_path) == {"new/table.csv": "a,b"}
    assert path.stat().st_ino == inode  # renamed, not copied: no reader ever sees half of it


def test_a_folder_is_there_when_the_block_ends_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "run"
    for text in ("first", "second"):
        with whole_folder(path) as beside:
            assert list(beside.iterdir()) == []
            (beside / "sub").mkdir()
            (beside / "sub" / f"{text}.txt").write_text(text)
            assert not (path / "sub" / f"{text}.txt").exists()
        assert content(tmp_path) == {f"run/sub/{text}.txt": text}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), OSError(errno.EIO, "broken")])
@pytest.mark.parametrize("old", [False, True])
def test_an_error_leaves_the_old_version_and_nothing_else(tmp_path, error, old):
    if old:
        (tmp_path / "f.txt").write_text("old")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "f.txt").write_text("old")
    before = content(tmp_path)
    with pytest.raises(type(error)), whole_file(tmp_path / "f.txt") as beside:
        beside.write_text("half")
        raise error
    with pytest.raises(type(error)), whole_folder(tmp_path / "run") as beside:
        (beside / "f.txt").write_text("half")
        raise error
    assert content(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == len(before)


@pytest.mark.parametrize("old", [False, True])
def test_a_kill_leaves_the_old_version_and_no_new_one_and_the_next_run_succeeds(tmp_path, old):
    if old:
        (tmp_path / "f.txt").write_text("old")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "f.txt").write_text("old")
    for kind, name in (("whole_file", "f.txt"), ("whole_folder", "run")):
        write = "beside" if kind == "whole_file" else "(beside / 'f.txt')"
        killed = python(
            f"import os, signal; from pathlib import Path; from pipeline.running.files import {kind}\n"
            f"with {kind}({str(tmp_path / name)!r}) as beside:\n"
            f"    {write}.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert killed.returncode == -signal.SIGKILL
    visible = {name: text for name, text in content(tmp_path).items() if not name.startswith(".")}
    assert visible == ({"f.txt": "old", "run/f.txt": "old"} if old else {})
    with whole_file(tmp_path / "f.txt") as beside:
        beside.write_text("new")
    with whole_folder(tmp_path / "run") as beside:
        (beside / "f.txt").write_text("new")
    assert (tmp_path / "f.txt").read_text() == (tmp_path / "run" / "f.txt").read_text() == "new"


@pytest.mark.parametrize("then", ["fails", "succeeds"])
def test_row_31_killed_while_the_new_folder_takes_the_place_of_the_old_the_old_one_comes_back(tmp_path, then):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "f.txt").write_text("old")
    killed = python(
        "import os, signal; from pipeline.running.files import whole_folder\n"
        "rename = os.rename\n"
        "def die(source, target):\n"
        "    if str(source).endswith('.partial'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    rename(source, target)\n"
        "os.rename = die\n"
        f"with whole_folder({str(tmp_path / 'run')!r}) as beside: (beside / 'f.txt').write_text('new')"
    )
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "run").exists()
    try:
        with whole_folder(tmp_path / "run") as beside:
            assert (tmp_path / "run" / "f.txt").read_text() == "old"
            (beside / "f.txt").write_text("newer")
            if then == "fails":
                raise ValueError
    except ValueError:
        pass
    assert content(tmp_path) == {"run/f.txt": "old" if then == "fails" else "newer"}


@pytest.mark.parametrize("there", ["a file", "a folder of another kind"])
def test_what_is_not_of_the_same_kind_is_never_replaced(tmp_path, there):
    place = tmp_path / "thesis"
    if there == "a file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "chapter.txt").write_text("mine")
    before = content(tmp_path)
    said = (
        "is a file; name a folder"
        if there == "a file"
        else r"holds something else than this writes \(no run.json\); empty it or"
    )
    with (
        pytest.raises(UserError, match=f"thesis: {said}"),
        whole_folder(place, "run.json"),
    ):
        pytest.fail("begun all the same")
    assert content(tmp_path) == before


@pytest.mark.parametrize("before", [None, [], [".DS_Store", "._run.json"], ["run.json", "more.txt"]])
def test_an_empty_folder_and_one_of_the_same_kind_are_replaced(tmp_path, before):
    if before is not None:
        (tmp_path / "run").mkdir()
        for name in before:
            (tmp_path / "run" / name).write_text("old")
    with whole_folder(tmp_path / "run", "run.json") as beside:
        (beside / "run.json").write_text("new")
    assert content(tmp_path) == {"run/run.json": "new"}


@pytest.mark.parametrize("path", [".", "..", "sub/..", "/"])
def test_the_folder_that_a_command_is_given_in_is_never_replaced(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="the folder that this command is given in"), whole_folder(path, "run.json"):
        pytest.fail("begun all the same")


def test_what_a_killed_process_of_the_same_id_left_is_no_obstacle(tmp_path):
    for name in (f".run.{os.getpid()}.old", f".run.{os.getpid()}.partial", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left.txt").write_text("left")
    with whole_folder(tmp_path / "run") as beside:
        (beside / "f.txt").write_text("new")
    assert content(tmp_path) == {"run/f.txt": "new"}


def test_a_folder_that_cannot_be_put_into_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "f.txt").write_text("old")
    rename = os.rename

    def refuse(source, target):
        if str(source).endswith(".partial"):
            raise OSError(errno.EIO, "broken")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="broken"), whole_folder(tmp_path / "run") as beside:
        (beside / "f.txt").write_text("new")
    assert content(tmp_path) == {"run/f.txt": "old"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_folders_are_exchanged_leaves_a_whole_one(tmp_path, monkeypatch, number):
    (tmp_path / "run").mkdir()
    rename = os.rename

    def and_signal(source, target):
        rename(source, target)
        if str(target).endswith(".old"):
            signal.raise_signal(number)

    monkeypatch.setattr(os, "rename", and_signal)
    with stoppable(), pytest.raises((KeyboardInterrupt, SystemExit)), whole_folder(tmp_path / "run") as beside:
        (beside / "f.txt").write_text("new")
    assert (tmp_path / "run/f.txt").read_text() == "new"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_told_in_one_line(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"/lock: cannot be written \(its file system has no locks\); .* another place"):
        locked(tmp_path / "lock").__enter__()


def test_what_cannot_be_removed_of_an_earlier_folder_stops_no_later_one(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, remove = tmp_path / f".run.{dead.pid}.old", shutil.rmtree
    old.mkdir()

    def refuse(path, **options):
        if Path(path) == old:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    (tmp_path / "run").mkdir()
    for text in ("first", "second"):
        with whole_folder(tmp_path / "run") as beside:
            (beside / "f.txt").write_text(text)
        assert (tmp_path / "run/f.txt").read_text() == text


def test_a_link_to_a_folder_stays_one_and_the_folder_is_replaced(tmp_path):
    (tmp_path / "large").mkdir()
    (tmp_path / "run").symlink_to("large")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".large.{dead.pid}.old").symlink_to("large")
    for text in ("first", "second"):
        with whole_folder(tmp_path / "run", "run.json") as beside:
            (beside / "run.json").write_text(text)
        assert (tmp_path / "run").is_symlink()
        assert (tmp_path / "large/run.json").read_text() == text
    assert not (tmp_path / f".large.{dead.pid}.old").is_symlink()


def test_a_link_to_the_folder_that_a_command_is_given_in_is_refused(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="link: the folder that this command is given in"):
        check_place(tmp_path / "link", "run.json")


def test_a_folder_that_is_a_disk_of_its_own_is_refused_before_the_work(small_disk):
    with pytest.raises(UserError, match=r"disk: a disk is mounted there.*; mount the folder around it"):
        check_place(small_disk, "run.json")
    check_place(small_disk / "run", "run.json")


@pytest.mark.parametrize("path", [".", "..", "folder", "folder/"])
def test_a_folder_is_no_name_for_a_file(tmp_path, monkeypatch, path):
    (tmp_path / "here/folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match=f"^{path.rstrip('/')}: is a folder; name a file"), whole_file(path):
        pytest.fail("begun all the same")


@pytest.mark.parametrize(
    ("whole", "length"),
    [
        (whole_file, 254),  # too long with what is put before and behind it, however short the number of the process
        (whole_file, 300),
        (whole_folder, 254),
        (whole_folder, 300),
        (lambda path: whole_folder(path, "run.json"), 300),
        (locked, 300),
    ],
)
def test_a_name_that_is_too_long_is_told(tmp_path, whole, length):
    with (
        pytest.raises(UserError, match=r"xx: cannot be written \(File name too long\); make that possible"),
        whole(tmp_path / ("x" * length)),
    ):
        pytest.fail("begun all the same")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/sys/emotion/data", "/proc/emotion/data", "file/data"])
@pytest.mark.parametrize("whole", [whole_file, whole_folder, locked])
def test_a_place_where_nothing_can_be_written_is_named(tmp_path, monkeypatch, place, whole):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    with (
        pytest.raises(UserError, match=rf"^{place}: cannot be written \(.+\); make that possible or"),
        whole(Path(place)),
    ):
        pytest.fail("begun all the same")
    assert content(tmp_path) == {"file": "x"}


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), OSError("100 requested and 64 written")]
)
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_said_so_and_leaves_the_old_version(tmp_path, error, whole):
    path = tmp_path / "data"
    with whole(path) as beside:
        beside.write_text("old") if whole is whole_file else (beside / "f").write_text("old")
    before = content(tmp_path)
    with pytest.raises(UserError, match="data: the disk is full") as raised, whole(path):
        raise error
    assert "\n" not in str(raised.value)
    assert content(tmp_path) == before


def test_a_disk_that_is_really_full_is_said_so_by_every_writer(tmp_path):
    """In a mount namespace of its own, which ends with the process."""
    script = f"""
import os, subprocess
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", {str(tmp_path)!r}], check=True)
import numpy as np
from pipeline.running.errors import UserError
from pipeline.running.files import whole_file
big = np.zeros(1_000_000, np.uint8)
plain = lambda path, data: path.write_bytes(data.tobytes())
for name, write in (("x.npy", np.save), ("x.npz", np.savez), ("x", plain)):
    try:
        with whole_file({str(tmp_path)!r} + "/" + name) as beside:
            write(beside, big)
    except UserError as error:
        print(error, os.listdir({str(tmp_path)!r}))
"""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    done = python(script, "unshare", "-rm")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("the disk is full" in line and line.endswith("[]") for line in lines)


def test_json_is_whole_and_has_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1, 2.5]})
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "a.json", {"x": value})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1, 2.5]}
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    living = os.getppid()
    left = [
        tmp_path / f".out.{dead.pid}.partial",
        tmp_path / f".out.{dead.pid}.old",
        tmp_path / f".out.{living}.partial",
    ]
    for folder in left:
        folder.mkdir()
    (tmp_path / f".table.{dead.pid}.csv").write_text("half")
    with whole_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
    with whole_file(tmp_path / "table.csv") as file:
        file.write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".out.{living}.partial", "out", "table.csv"]


def together(script: str, folder: Path) -> list[str]:
    """What four processes say that run the same script at once."""
    command = [sys.executable, "-c", f"from pathlib import Path\nplace = Path({str(folder)!r})\n{script}"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(4)]
    return [process.communicate(timeout=240)[0] for process in started]


def test_a_lock_is_held_by_one_process_at_a_time_and_its_file_goes(tmp_path):
    script = """
import time
from pipeline.running.files import locked
for _ in range(60):
    with locked(place / "lock"):
        (place / "held").mkdir()  # fails if it is there
        time.sleep(0.0005)
        (place / "held").rmdir()
"""
    assert together(script, tmp_path) == [""] * 4
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock", waiting=None):
        pytest.fail("held twice")


def test_two_commands_that_finish_one_folder_at_once_do_not_disturb_each_other(tmp_path):
    script = """
from pipeline.running.files import whole_folder
for _ in range(60):
    with whole_folder(place / "out") as folder:
        (folder / "file").touch()
"""
    assert together(script, tmp_path) == [""] * 4
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "out"]


@pytest.fixture
def to_disk(monkeypatch):
    """What is flushed to disk and what is renamed, in that order: ("fsync", inode) and ("rename", inode, place)."""
    done = []

    def noting(name, note):
        call = getattr(os, name)

        def noted(*given):
            done.append(note(*given))
            return call(*given)

        monkeypatch.setattr(os, name, noted)

    noting("fsync", lambda descriptor: ("fsync", os.fstat(descriptor).st_ino))
    for name in ("rename", "replace"):
        noting(name, lambda source, place: ("rename", os.stat(source).st_ino, os.fspath(place)))
    return done


@pytest.mark.parametrize("old", [False, True])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_after(tmp_path, to_disk, old):
    path = tmp_path / "table.csv"
    if old:
        path.write_text("old")
    with whole_file(path) as beside:
        beside.write_text("a,b")
    inode, parent = path.stat().st_ino, tmp_path.stat().st_ino
    assert to_disk == [("fsync", inode), ("rename", inode, str(path)), ("fsync", parent)]


@pytest.mark.parametrize("old", [False, True])
def test_all_of_a_folder_is_on_the_disk_before_it_has_its_name_and_its_name_after(tmp_path, to_disk, old):
    path = tmp_path / "run"
    if old:
        path.mkdir()
    with whole_folder(path) as beside:
        (beside / "sub" / "empty").mkdir(parents=True)
        for file in ("a.npy", "sub/b.json"):
            (beside / file).write_text(file)
    written = {entry.stat().st_ino for entry in (path, *path.rglob("*"))}
    assert len(written) == 5
    renamed = to_disk.index(("rename", path.stat().st_ino, str(path)))
    assert written <= {inode for name, inode, *_ in to_disk[:renamed] if name == "fsync"}
    assert ("fsync", tmp_path.stat().st_ino) in to_disk[renamed:]
