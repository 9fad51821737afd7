"""Progress: a bar for a person, few plain lines for a log, and the items untouched."""

import sys

from pipeline.running.progress import progress


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_items_come_through_unchanged_and_one_by_one(capsys):
    taken = []
    source = (taken.append(n) or n for n in range(5))
    watched = progress(source, 5, "work")
    assert taken == []
    assert next(watched) == 0
    assert taken == [0]
    assert list(watched) == [1, 2, 3, 4]


def test_a_log_gets_about_a_line_for_each_tenth_and_the_last_says_all(capsys):
    list(progress(range(1400), 1400, "drawing"))
    found = lines(capsys)
    assert 10 <= len(found) <= 11
    assert found[-1] == "drawing: 1,400 of 1,400 img"
    assert all(line.startswith("drawing: ") for line in found)


def test_an_item_may_stand_for_many(capsys):
    assert list(progress(range(4), 35, "resize", step=10)) == [0, 1, 2, 3]
    assert lines(capsys)[-1] == "resize: 35 of 35 img"


def test_no_items_say_nothing(capsys):
    assert list(progress([], 0, "work")) == []
    assert lines(capsys) == []


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(4), 35, "resize", unit="img", step=10)) == [0, 1, 2, 3]
    shown = capsys.readouterr().err
    assert "35/35" in shown
    assert "\r" in shown
