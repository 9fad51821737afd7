"""Requests made from /openapi.json, right ones and wrong ones, and every answer compared with what it says."""

import re
import subprocess
import sys
from pathlib import Path

from serving.server import Server


def test_every_answer_is_as_the_api_says_of_itself(exported: Path, tmp_path: Path):
    with Server(exported) as server:
        ended = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "--no-color", "run", f"{server.url}/openapi.json",
             "--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "1",
             # no schema can say which bytes are a picture, or how large the model in service wants its images
             "--exclude-checks", "positive_data_acceptance"],
            cwd=tmp_path, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    generated, passed = map(int, re.search(r"(\d+) generated, (\d+) passed", ended.stdout).groups())
    assert generated == passed > 300
