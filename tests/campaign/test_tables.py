"""faces.csv, faces.parquet and ads.csv."""

import csv
from io import BytesIO
from pathlib import Path

import duckdb
import openpyxl
import pytest

from pipeline.campaign.mix import Ad
from pipeline.campaign.tables import FACES, FacesCsv, to_parquet, workbook, write_ads
from pipeline.labels import LABELS

NAMES = {  # as it is: as a CSV has it
    "=1+1.jpg": "'=1+1.jpg",
    "+a.jpg": "'+a.jpg",
    "-a.jpg": "'-a.jpg",
    "@a.jpg": "'@a.jpg",
    "'a.jpg": "''a.jpg",
    "a;=1+1;b.jpg": "a;'=1+1;b.jpg",
    "=1;;-2;'3.jpg": "'=1;;'-2;''3.jpg",
} | {name: name for name in ('b, "c".jpg', "ü ☀.jpg", "NULL", "12", "true", "a-b=c;d'e.jpg", "a'.jpg")}


def face(x: int) -> dict:
    return {
        "box": {"x": x, "y": 2, "width": 30, "height": 31}, "score": 0.75, "predicted_emotion_label": "fear",
        "certain": x > 5, "class_probabilities": dict.fromkeys(LABELS, 1 / 7),
    }  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Path:
    with (tmp_path / "faces.csv").open("w", encoding="utf-8-sig", newline="") as file:
        rows = FacesCsv(file)
        for name in NAMES:
            rows.add(name, None, [face(7)])
        rows.add("a.mp4", 1.5, [face(9), face(3)])
    to_parquet(tmp_path / "faces.csv", tmp_path / "faces.parquet")
    return tmp_path


def test_no_name_is_a_formula_in_the_csv(written):
    with (written / "faces.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["file"] for row in rows[: len(NAMES)]] == [*NAMES.values()]
    assert {row["second"] for row in rows[:-2]} == {""}


def test_the_parquet_has_the_same_rows_with_the_names_as_they_are(written):
    rows = duckdb.sql(f"SELECT * FROM '{written / 'faces.parquet'}'")
    assert dict(zip(rows.columns, map(str, rows.types), strict=True)) == FACES
    found = rows.fetchall()
    assert [row[0] for row in found] == [*NAMES, "a.mp4", "a.mp4"]
    assert {row[1] for row in found[:-2]} == {None}
    first, second = (dict(zip(FACES, row, strict=True)) for row in found[-2:])
    assert (first["second"], first["face"], first["x"], first["emotion"], first["likeliest"]) == (
        1.5,
        1,
        3,
        "not sure",
        "fear",
    )
    assert (second["face"], second["x"], second["emotion"], second["likeliest"]) == (2, 9, "fear", "fear")
    assert first["neutral"] == pytest.approx(1 / 7)


def test_a_folder_named_like_a_value_is_no_column(tmp_path):
    folder = tmp_path / "brand=acme"
    folder.mkdir()
    with (folder / "faces.csv").open("w", encoding="utf-8-sig", newline="") as file:
        FacesCsv(file).add("a.jpg", None, [face(7)])
    to_parquet(folder / "faces.csv", folder / "faces.parquet")
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(folder / "faces.parquet"), hive_partitioning=False)
        assert rows.columns == [*FACES]


def test_without_a_face_both_have_their_columns(tmp_path):
    with (tmp_path / "faces.csv").open("w", encoding="utf-8-sig", newline="") as file:
        FacesCsv(file)
    to_parquet(tmp_path / "faces.csv", tmp_path / "faces.parquet")
    rows = duckdb.sql(f"SELECT * FROM '{tmp_path / 'faces.parquet'}'")
    assert (rows.columns, rows.fetchall()) == ([*FACES], [])


def test_ads_have_shares_where_there_are_faces_and_notes_where_there_is_a_fault(tmp_path):
    ads = [Ad("=a.jpg", "picture"), Ad("b.txt", "", note="No picture;=1+1;")]
    ads[0].add(None, {"faces": [face(7)] * 3 + [face(1)], "too_small": 2, "not_read": 0})
    with (tmp_path / "ads.csv").open("w", newline="") as file:
        write_ads(file, ads, 5, 0.95)
    first, second = csv.DictReader((tmp_path / "ads.csv").read_text().splitlines())
    assert (first["file"], first["faces"], first["too_small"], first["fear"], first["not_sure"]) == (
        "'=a.jpg", "4", "2", "0.75", "0.25",
    )  # fmt: skip
    assert float(first["fear_low"]) < 0.75 < float(first["fear_high"])
    assert second["note"] == "No picture;'=1+1;" and not second["fear"]


@pytest.mark.parametrize(("block_seconds", "told"), ((5, False), (2, True)))
def test_a_video_has_intervals_where_its_faces_are_in_enough_blocks(tmp_path, block_seconds, told):
    ad = Ad("a.mp4", "video", seconds=10)
    for second in range(10):
        ad.add(second, {"faces": [face(7), face(1)], "too_small": 0, "not_read": 0})
    with (tmp_path / "ads.csv").open("w", newline="") as file:
        write_ads(file, [ad], block_seconds, 0.95)
    (row,) = csv.DictReader((tmp_path / "ads.csv").read_text().splitlines())
    assert row["fear"] == "0.5"
    assert [bool(row[end]) for end in ("fear_low", "fear_high")] == [told, told]


def test_every_row_of_ads_has_a_cell_for_each_column(tmp_path):
    ads = [Ad("a.jpg", "picture"), Ad("bare.jpg", "picture", frames=1), Ad("b.txt", "", note="No picture.")]
    ads[0].add(None, {"faces": [face(7)], "too_small": 0, "not_read": 0})
    with (tmp_path / "ads.csv").open("w", newline="") as file:
        write_ads(file, ads, 5, 0.95)
    assert len({len(row) for row in csv.reader((tmp_path / "ads.csv").read_text().splitlines())}) == 1


def test_the_workbook_has_the_rows_of_the_csv_with_text_as_it_is_and_numbers_as_numbers(tmp_path):
    ads = [Ad(name, "picture") for name in NAMES] + [Ad("a.mp4", "video", seconds=1.5), Ad("b.txt", "", note="=1+1")]
    ads[0].add(None, {"faces": [face(7)] * 3 + [face(1)], "too_small": 2, "not_read": 0})
    ads.append(Ad("long.jpg", "", note="x" * 40_000))
    made = workbook(ads, 5, 0.95)
    assert made == workbook(ads, 5, 0.95)
    with (tmp_path / "ads.csv").open("w", newline="") as file:
        write_ads(file, ads, 5, 0.95)
    table = [*csv.reader((tmp_path / "ads.csv").read_text().splitlines())]
    sheet = openpyxl.load_workbook(BytesIO(made))["ads"]
    cells = [list(row) for row in sheet.iter_rows()]
    assert [cell.value for cell in cells[0]] == table[0] and len(cells) == len(table)
    assert [row[0].value for row in cells[1:]] == [*NAMES, "a.mp4", "b.txt", "long.jpg"]
    assert {cell.data_type for row in cells for cell in row} == {"s", "n"}, "no formula, and no error"
    for row, written in zip(cells[1:], table[1:], strict=True):
        assert [cell.value for cell in row[1:]] == [
            (None if text == "" else pytest.approx(float(text), abs=1e-4)) if cell.data_type == "n" else cell.value
            for cell, text in zip(row[1:], written[1:], strict=True)
        ]
    assert [row[table[0].index("note")].value for row in cells[-2:]] == ["=1+1", "x" * 32_767]
    fear = cells[1][table[0].index("fear")]
    assert (fear.value, fear.number_format) == (0.75, "0.0 %")
    legend = [[cell.value for cell in row] for row in openpyxl.load_workbook(BytesIO(made))["columns"].iter_rows()]
    assert [column for column, _ in legend[1:]] == table[0] and all(meaning for _, meaning in legend)
    assert sheet.freeze_panes == "B2" and sheet.auto_filter.ref == f"A1:{cells[-1][-1].coordinate}"
