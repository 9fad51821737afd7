"""The Makefile: an environment is made anew for another Python or folder, and kept for the same."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# As venv does: what is there stays, but with --clear; programs name the folder that they were made in.
STAND_IN = r"""#!/bin/sh
case "$*" in
  -c*) exec PYTHON "$@" ;;
  -VV) echo "$0" | grep -q venv && cat "$(dirname "$0")/version" || basename "$0" ;;
  "-m venv"*)
    [ "$3" != --clear ] || rm -rf .venv
    mkdir -p .venv/bin
    [ -e .venv/bin/python ] || { cp "$0" .venv/bin/python; basename "$0" > .venv/bin/version; }
    [ -e .venv/bin/pip ] ||
      printf '#!/bin/sh\n"%s/.venv/bin/python"\n' "$PWD" > .venv/bin/pip; chmod +x .venv/bin/pip ;;
esac
""".replace("PYTHON", sys.executable)


@pytest.fixture
def project(tmp_path) -> Path:
    """The Makefile and what it installs by, with two Pythons that are stand-ins."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for name in ("older", "newer"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", *arguments], cwd=folder, check=False, capture_output=True, text=True)


def planned(folder: Path, *arguments: str) -> str:
    return make(folder, "--dry-run", "install", *arguments).stdout


def made(folder: Path, python: str) -> str:
    """Install by that Python; whose environment is there then."""
    ended = make(folder, "install", f"PYTHON=./{python}")
    assert not ended.returncode, ended.stderr
    return (folder / ".venv/bin/version").read_text().strip()


def test_what_is_not_there_yet_is_installed_and_only_that(project):
    (project / ".venv").mkdir()
    (done,) = re.findall(r"touch (\S+)", planned(project))
    (project / done).touch()
    assert "pip install" not in planned(project)
    assert "'.[train,gpu]'" in planned(project, "EXTRAS=train,gpu")
    another = planned(project, "PYTHON=/opt/python3.12")
    assert "/opt/python3.12 -m venv" in another
    assert done in another.partition("rm -f")[2], "that of another Python is forgotten"


def test_another_python_has_an_environment_of_its_own_and_the_same_keeps_what_is_installed(project):
    assert made(project, "older") == "older"
    assert made(project, "newer") == "newer"
    (project / ".venv/library").touch()
    (project / "constraints.txt").write_text("other==2\n")
    assert made(project, "newer") == "newer" and (project / ".venv/library").exists()
    assert made(project, "older") == "older" and not (project / ".venv/library").exists()


def test_an_environment_that_was_moved_or_copied_with_its_folder_is_made_anew(project):
    made(project, "newer")
    (project / ".venv/library").touch()
    shutil.copytree(project, project.with_name("a copy"))
    project.rename(project.with_name("moved here"))
    for name in ("a copy", "moved here"):
        folder = project.with_name(name)
        assert made(folder, "newer") == "newer" and not (folder / ".venv/library").exists(), name
        (folder / ".venv/library").touch()
        assert made(folder, "newer") == "newer" and (folder / ".venv/library").exists(), name


def test_outside_a_repository_repro_says_what_dvc_wants(project):
    made(project, "newer")
    asked = make(project, "repro", "PYTHON=./newer")
    assert asked.returncode == 2 and "git init, then make repro again" in asked.stderr
