"""Commands of README and docs/ are ones that exist: steps, choices, make targets, files."""

import re
import shlex
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import composed
from hydra.core.override_parser.overrides_parser import OverridesParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.running.cli import help_page

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = [
    block.replace(".venv-serve/bin/python -m", "python -m")  # the service's environment has steps of its own
    for text in (TEXT, *(file.read_text() for file in sorted((ROOT / "docs").glob("*.md"))))
    for block in re.findall(r"```bash\n(.*?)```", text, re.S)
]
COMMANDS = [
    line.partition(" #")[0].strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]


def started() -> list[list[str]]:
    """The words of each step that the blocks start, loops and variables worked out, by a bash that starts nothing."""
    with tempfile.TemporaryDirectory() as nowhere:  # with nothing else on its path, what is not a step is not found
        begin = f"set -f; PATH={nowhere}; python() {{ printf '%s\\t' \"$@\"; printf '\\n'; }}\n"
        command = ["/bin/bash", "-c", begin + "\n".join(BLOCKS)]
        said = subprocess.run(command, cwd=nowhere, text=True, capture_output=True).stdout
    lines = dict.fromkeys(line for line in said.splitlines() if line.startswith("-m\tpipeline."))
    return [["python", *line.removesuffix("\t").split("\t")] for line in lines]


STEPS = started()
EXPERIMENTS = [shlex.split(command) for command in COMMANDS if command.startswith("dvc exp run")]


@pytest.mark.parametrize("words", STEPS, ids=" ".join)
def test_a_step_of_readme_and_docs_composes(words):
    step, overrides = (
        words[2].removeprefix("pipeline."),
        [word for word in words[3:] if word not in ("-m", "--help", "--cfg", "job")],
    )
    if "--help" in words:
        assert f"Usage: python -m pipeline.{step}" in help_page(step)
        return
    for override in OverridesParser.create().parse_overrides(overrides):
        assert override.key_or_group
    for experiment in re.findall(r"\+experiment=(\w+)", " ".join(overrides)):
        own = yaml.safe_load((ROOT / f"conf/experiment/{experiment}.yaml").read_text())
        swept = own.get("hydra", {}).get("sweeper", {}).get("params", {})
        overrides += [f"{key}={value}" for key, value in swept.items() if f" {key}=" not in " ".join(overrides)]
    # of a sweep, its first point
    composed(step, *[re.sub(r"=([^,\[]+),.*", r"=\1", override) for override in overrides])


@pytest.mark.parametrize("words", EXPERIMENTS, ids=" ".join)
def test_an_experiment_of_readme_sets_choices_that_params_has(words):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings = [word for word in words[3:] if word != "-S"]
    assert settings
    for setting in settings:
        key, _, value = setting.partition("=")
        assert key in params
        names = value.strip("[]").split(",")
        if (ROOT / "conf" / key).is_dir():
            assert all((ROOT / "conf" / key / f"{name}.yaml").exists() for name in names), setting


def test_every_step_that_the_blocks_name_was_worked_out():
    named = [line for line in COMMANDS if line.startswith("python -m pipeline.")]
    assert {tuple(shlex.split(line)) for line in named} <= {tuple(words) for words in STEPS}
    outputs = [word for words in STEPS for word in words if word.startswith("output=multirun/champion")]
    assert "output=multirun/champion_3_seed_1" in outputs and "output=multirun/champion" in outputs  # docs/model.md


def test_each_row_of_the_faults_has_a_test_named_after_it():
    rows = set(re.findall(r"^\| (\d+) \|", (ROOT / "docs/faults.md").read_text(), re.M))
    named = {
        number
        for file in (ROOT / "tests").rglob("test_*.py")
        for number in re.findall(r"def test_row_(\d+)_", file.read_text())
    }
    assert len(rows) > 40 and named == rows


def test_make_targets_of_readme_exist():
    targets = set(re.findall(r"^make (\w+)", "\n".join(COMMANDS), re.M))
    assert targets >= {"repro", "test", "ui", "serve"}
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))


def test_files_that_readme_links_to_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in link]
    headings = {re.sub(r"[^\w ]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.+)", TEXT, re.M)}
    assert any(link.startswith("#") for link in links) and any(not link.startswith("#") for link in links)
    assert not [link for link in links if link.startswith("#") and link[1:] not in headings]
    assert not [link for link in links if not link.startswith("#") and not (ROOT / link).exists()]


def test_constraints_pin_everything_that_is_required_and_name_no_host():
    pinned = (ROOT / "constraints.txt").read_text()
    names = {canonicalize_name(line.split("==")[0]) for line in pinned.splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = sum(project["optional-dependencies"].values(), project["dependencies"])
    assert {canonicalize_name(Requirement(each).name) for each in required} <= names
    assert "://" not in pinned and "@" not in pinned
