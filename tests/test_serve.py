"""The serve step: its values, and what it says of those that can't be."""

import socket
import subprocess
import sys

import pytest
from conftest import composed
from omegaconf import OmegaConf

from pipeline import serve
from pipeline.running.errors import UserError


@pytest.mark.parametrize(
    ("override", "said"),
    (
        ("batch_sizes=[4]", "1 has to be among them"),
        ("limits.files=99", "limits.files=99"),
        ("limits.held_bytes=10", "limits.upload_bytes"),
        ("workers=0", "workers=0"),
        ("workers=many", "workers=many"),
    ),
)
def test_values_that_contradict_each_other_are_refused_by_name(override, said):
    settings = OmegaConf.to_container(composed("serve", override), resolve=True)
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        serve.check(settings)


def test_the_values_as_they_are_stand():
    settings = OmegaConf.to_container(composed("serve"), resolve=True)
    serve.check(settings)
    assert settings["host"] == "127.0.0.1" and settings["faces"]["threshold"]


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "pipeline.serve", f"port={port}", f"exported={tmp_path}", "workers=1"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert f"port={port}" in ended.stderr and "Traceback" not in ended.stderr
