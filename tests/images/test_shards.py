"""Work in shards: two commands at the same folder do not disturb each other."""

import logging
import threading
import time

import pytest

from pipeline.images.shards import shards
from pipeline.running.files import locked

WAITING = "write: another command is at the same images; waiting until it has ended"


def write(part, path):
    path.write_text(str(part))


def test_a_second_command_at_the_same_folder_waits_and_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def read() -> list[str]:
        with shards(write, [[1], [2], [3]], tmp_path / "cache", ".txt", "write") as files:
            return [file.read_text() for file in files]

    second = []
    other = threading.Thread(target=lambda: second.extend(read()))
    with shards(write, [[1], [2], [3]], tmp_path / "cache", ".txt", "write") as files:
        first = [next(files).read_text()]
        other.start()
        until = time.monotonic() + 60
        while WAITING not in caplog.text:
            assert other.is_alive() and time.monotonic() < until
            time.sleep(0.01)
        first += [file.read_text() for file in files]
    other.join()
    assert first == second == ["[1]", "[2]", "[3]"]
    assert list(tmp_path.iterdir()) == []


def test_what_was_cut_off_over_other_images_goes_when_the_step_ends_well_unless_a_command_is_at_it(tmp_path):
    done, left, at_work, own = (tmp_path / name for name in ("0" * 16, "1" * 16, "2" * 16, "report"))
    for folder in (left, at_work, own):
        write([1], folder.parent / f"{folder.name}.lock")
        folder.mkdir()
        write([1], folder / "000000.txt")
    with locked(tmp_path / f"{at_work.name}.lock"):
        with pytest.raises(OSError, match="cut off"), shards(write, [[1], [2]], done, ".txt", "write") as files:
            next(files)
            raise OSError("cut off")
        assert left.exists() and done.exists()
        with shards(write, [[1], [2]], done, ".txt", "write") as files:
            list(files)
        kept = {at_work, own, tmp_path / f"{at_work.name}.lock", tmp_path / "report.lock"}
        assert set(tmp_path.iterdir()) == kept
