"""What a step reads of an earlier one's: a missing or a cut file is one line with what makes it again."""

import numpy as np
import pandas as pd
import pytest

from pipeline.running.errors import UserError
from pipeline.running.files import write_json
from pipeline.running.outputs import read_array, read_json, read_table

TABLE = pd.DataFrame({"run": [f"run {row}" for row in range(50)], "accuracy": np.linspace(0, 1, 50)})


@pytest.mark.parametrize(
    ("name", "read"),
    [("a.json", read_json), ("a.csv", read_table), ("a.parquet", read_table), ("a.npy", read_array)],
)
def test_a_file_that_was_cut_off_is_told_with_what_makes_it_again(tmp_path, name, read):
    path = tmp_path / name
    with pytest.raises(UserError, match=rf"{name}: not there; run clean"):
        read(path, "run clean")
    write_json(tmp_path / "a.json", {"runs": TABLE["run"].tolist()})
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    TABLE.to_parquet(tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", TABLE["accuracy"])
    whole, content = read(path, "run clean"), path.read_bytes()
    assert len(whole) == (1 if name == "a.json" else 50)
    for length in (0, 1, 40, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=rf"{name}: cannot be read, it was cut off or is damaged; run clean"):
            read(path, "run clean")


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(UserError, match="cannot be read, Is a directory; run clean"):
        read_json(tmp_path / "a.json", "run clean")


def test_arrays_are_mapped_and_options_of_pandas_hold(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    assert isinstance(read_array(tmp_path / "a.npy", ""), np.memmap)
    TABLE.to_parquet(tmp_path / "a.parquet")
    assert list(read_table(tmp_path / "a.parquet", "", columns=["run"])) == ["run"]
