"""Work in shards: two commands at the same folder do not disturb each other."""

import logging
import threading

from pipeline.images.shards import shards


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
        other.join(0.5)
        assert other.is_alive()
        first += [file.read_text() for file in files]
    other.join()
    assert first == second == ["[1]", "[2]", "[3]"]
    assert "write: another command is at the same images; waiting until it has ended" in caplog.text
    assert not (tmp_path / "cache").exists()
