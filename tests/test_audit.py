"""The gate on its own: any source, nothing written but a cache, an error exactly if train leaks into valid or test."""

import pytest
from conftest import composed
from trees import encoded, picture, tree, write, zipped

from pipeline import audit
from pipeline.images.leaks import leaks
from pipeline.running.errors import UserError


def audited(source, cache, *overrides):
    audit.main(composed("audit", f"source={source}", f"paths.cache={cache}", *overrides))


def test_a_source_without_leaks_passes(tmp_path, capsys):
    raw = tree(tmp_path / "raw")
    write(raw, "train/sad/again.jpg", (raw / "train/sad/0.jpg").read_bytes())  # within train: no leak
    write(raw, "train/sad/bad.jpg", b"")
    audited(raw, tmp_path / "cache")
    assert "42 of 44 images kept" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "raw"]
    assert list((tmp_path / "cache/clean").iterdir()) == []


def test_a_leak_that_only_the_search_for_duplicates_finds_is_one(tmp_path, monkeypatch, capsys):
    raw = tree(tmp_path / "raw")
    write(raw, "valid/sad/x.png", encoded(picture(900), "PNG"))
    write(raw, "train/fear/y.jpg", encoded(picture(900), quality=40))
    monkeypatch.setattr(audit, "leaks", lambda *given, search: leaks(*given, search=search).head(0))
    with pytest.raises(UserError, match=r"1 images of train stand in valid or test too \(0 exactly, 1 nearly\)"):
        audited(raw, tmp_path / "cache")
    assert "leak: train/fear/y.jpg shows the same as valid/sad/x.png (near, 0.9" in capsys.readouterr().out


def test_what_a_person_decided_counts_as_in_cleaning(tmp_path, capsys):
    raw = tree(tmp_path / "raw")
    write(raw, "valid/sad/x.png", encoded(picture(900), "PNG"))
    write(raw, "train/fear/y.jpg", encoded(picture(900), quality=40))
    for decided in ("allow=[train/fear/y.jpg]", "deny=[train/fear/y.jpg]", "deny=[valid/sad/x.png]"):
        audited(raw, tmp_path / "cache", f"data.{decided}")
        assert "leak" not in capsys.readouterr().out
    with pytest.raises(UserError, match=r"data\.deny: 'train/fear/z\.jpg' is not in the source"):
        audited(raw, tmp_path / "cache", "data.deny=[train/fear/z.jpg]")


@pytest.mark.parametrize(("quality", "kind"), [(None, "1 exactly, 0 nearly"), (40, "0 exactly, 1 nearly")])
def test_a_leak_fails_and_is_named(tmp_path, capsys, quality, kind):
    raw = tree(tmp_path / "raw")
    write(raw, "valid/sad/x.png", encoded(picture(900), "PNG"))
    data = encoded(picture(900), "BMP") if quality is None else encoded(picture(900), quality=quality)
    write(raw, "train/fear/y.jpg", data)
    with pytest.raises(UserError, match=f"1 images of train stand in valid or test too .{kind}"):
        audited(zipped(raw, tmp_path / "raw.zip"), tmp_path / "cache")
    assert "leak: train/fear/y.jpg shows the same as valid/sad/x.png" in capsys.readouterr().out
