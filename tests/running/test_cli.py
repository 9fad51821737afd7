"""What a person meets at the shell: help, one line for a mistake and exit status 2, sweeps that go on."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY, contents
from shells import shell

from pipeline.running import cli
from pipeline.running.tracking import open_store


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["model=compcat", "optimizer=sgd"], ["model/compcat", "compact", "model_2_best"]),
        (["optimizer=sgd"], ["model", "compact", "model_2_best"]),
        (["model=compact", "optimizer=[sgd_cosine,sgd]"], ["optimizer: one is expected", "-m optimizer=<one>,<other>"]),
        ([*TINY, "channels=[rgb,1]"], ["channels: one is expected"]),
        (["model=compact.yaml", "optimizer=sgd"], ["model=compact.yaml: leave out .yaml, model=compact"]),
        (["-m", *TINY, "seed=0,1", "--cfg", "job"], ["--cfg shows the config of one run: leave out -m"]),
        ([*TINY, "epoch=3"], ["epoch"]),
        ([*TINY, "mixup=0.2"], ["mixup: there is no such value; did you mean augment.mixup?"]),
        ([*TINY, "+mixup=0.2"], ["mixup: there is no such value; did you mean augment.mixup?"]),
        ([*TINY, "chanels=rgb"], ["chanels: there is no such value; did you mean channels?"]),
        ([*TINY, "epochs=0"], ["epochs=0", "at least 1"]),
        ([*TINY, "optimizer.learning_rate=1"], ["learning_rate"]),
        ([*TINY, "epochs=[1"], ["epochs=[1"]),
        ([*TINY, "channels=3"], ["channels=3: expected a name"]),
        ([*TINY, "hydra=3"], ["hydra=3: expected a name"]),
    ],
)
def test_row_20_a_mistake_is_one_line_with_the_choices_and_exit_2(project, monkeypatch, capfd, arguments, named):
    before = contents(project)
    code, out, err = shell(monkeypatch, capfd, "train", *arguments)
    assert code == 2
    assert all(word in err for word in named)
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err and "To append" not in err
    assert not out and contents(project) == before


@pytest.mark.parametrize(
    ("step", "override", "one_of_it"),
    [
        ("serve", "limits=3", "limits.upload_bytes"),
        ("analyze", "faces.crop=3", "faces.crop.long_side"),
        ("evaluate", "calibration=2", "calibration.precision"),
        ("clean", "paths=elsewhere", "paths.sample"),
    ],
)
def test_a_single_value_for_a_group_is_one_line(project, monkeypatch, capfd, step, override, one_of_it):
    code, out, err = shell(monkeypatch, capfd, step, override, *(["data=own"] if step == "clean" else []))
    assert code == 2 and not out
    assert err.startswith(f"pipeline.{step}: {override}: ") and f"such as {one_of_it}=" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    [
        "Frühling.zip",
        "ads (1).zip",
        "a=b.zip",
        "it's.zip",
        "x\\",
        "📷 é.zip",
        "a:b;c.zip",
        "50%.zip",
        "#3.zip",
        "é, b.zip",
    ],
)
def test_a_path_of_any_name_needs_no_quotes_of_its_own(project, monkeypatch, capfd, name):
    code, _, err = shell(monkeypatch, capfd, "clean", "data=own", f"source={name}")
    assert code == 2 and err.startswith(f"pipeline.clean: {name}: no such folder")


@pytest.mark.parametrize(
    "name", ["a,b", "faces, cropped", "[old] faces", "[old]", "{a: b}", "{new", "a,b (1)", "it's,x"]
)
def test_a_path_that_could_be_several_values_is_one_where_it_is_there(project, monkeypatch, capfd, name):
    Path(name).mkdir()
    code, _, err = shell(monkeypatch, capfd, "clean", "data=own", f"source={name}")
    assert code == 2 and err.startswith(f"pipeline.clean: {name}: empty; expected")


def test_a_list_of_names_that_want_quotes_is_one_line_that_says_how(project, monkeypatch, capfd):
    code, _, err = shell(monkeypatch, capfd, "clean", "data=own", "source=x", "data.deny=[train/happy/Zoë.jpg]")
    assert code == 2 and "put each text of a list in quotes, \"key=['a','b']\"" in err and len(err.splitlines()) == 1
    code, _, err = shell(monkeypatch, capfd, "clean", "data=own", "source=x", "data.deny=['train/happy/Zoë.jpg']")
    assert code == 2 and err.startswith("pipeline.clean: x: no such folder")


@pytest.mark.parametrize(
    "argument", ["model=compact", "a=[1,2", "a={b: 1}", "a='it''s'", "-m", "--help", "a=${b}", "a=1,2", "a b=Frühling"]
)
def test_what_hydra_reads_and_what_no_quotes_would_mend_is_left_as_it_is(argument):
    assert cli.quoted(argument) == argument


@pytest.mark.parametrize(
    ("step", "arguments", "said"),
    [
        ("analyze", ["camp.zip"], "camp.zip: expected key=value; did you mean source=camp.zip?"),
        ("clean", ["data=own", "faces"], "faces: expected key=value; did you mean source=faces?"),
        ("audit", ["./my ads"], "./my ads: expected key=value; did you mean 'source=./my ads'?"),
        ("analyze", ["source=my", "ads.zip"], "ads.zip: expected key=value (see python -m pipeline.analyze --help)"),
        ("rank", ["camp.zip"], "camp.zip: expected key=value (see python -m pipeline.rank --help)"),
    ],
)
def test_a_path_alone_is_told_which_value_it_may_be(project, monkeypatch, capfd, step, arguments, said):
    assert shell(monkeypatch, capfd, step, *arguments) == (2, "", f"pipeline.{step}: {said}\n")


def test_help_names_every_choice_with_what_it_is(project, monkeypatch, capfd):
    code, out, _ = shell(monkeypatch, capfd, "train", "--help")
    assert code == 0
    for file in cli.CONF.glob("model/*.yaml"):
        assert f"{file.stem} " in out
        assert file.read_text().splitlines()[0].startswith("# "), f"{file} does not say what it is in its first line"
    assert "batch_size: 128" in out
    assert len(max(out.splitlines(), key=len)) < 160


def test_cfg_job_shows_the_resolved_run_and_does_nothing(project, monkeypatch, capfd):
    before = contents(project)
    code, out, _ = shell(monkeypatch, capfd, "train", *TINY, "--cfg", "job")
    assert code == 0
    assert "learning_rate: 0.01" in out
    assert contents(project) == before


def test_a_sweep_trains_every_combination_and_says_how_far_it_is(project, monkeypatch, capfd):
    code, _, err = shell(
        monkeypatch, capfd, "train", "-m", *TINY[:2], "optimizer=adam,sgd", "batch_size=8,16", "epochs=1"
    )
    assert code == 0
    store = open_store("mlruns", "sample", create=True)
    finished = store.finished({})
    assert len(finished) == 4
    assert "sweep: 1 done, 0 running, 0 failed, 3 left, expected end" in err
    assert "sweep: 4 done, 0 running, 0 failed, 0 left" in err
    # a rerun finds each of them finished
    code, _, err = shell(
        monkeypatch, capfd, "train", "-m", *TINY[:2], "optimizer=adam,sgd", "batch_size=8,16", "epochs=1"
    )
    assert code == 0 and "sweep: 3 done, 0 running, 0 failed, 1 left" in err and "expected end" not in err
    assert len(store.finished({})) == 4
    folders = [json.loads(file.read_text())["run_id"] for file in Path("multirun").glob("*/train/run.json")]
    assert sorted(folders) == sorted(run.info.run_id for run in finished)


def test_row_23_one_job_fails_the_others_finish_and_each_failure_is_listed(project, monkeypatch, capfd):
    layers = "model.build.layers=[flatten],[nonsense],[flatten,norm],[{dens: 3}]"
    code, _, err = shell(monkeypatch, capfd, "train", "-m", "model=model_2_best", layers, *TINY[2:4], "epochs=1")
    assert code == 1
    store = open_store("mlruns", "sample", create=True)
    assert len(store.finished({})) == 2
    failed = [line for line in err.splitlines() if line.startswith("  failed: ")]
    assert len(failed) == 2
    assert "nonsense is not a layer" in failed[0]
    assert "{'dens': 3} is not a layer" in failed[1]
    assert "2 done, 0 running, 2 failed, 0 left" in err


@pytest.mark.parametrize(
    ("step", "said"), (("import_histories", "goes on from what was finished"), ("rank", "no output is half written"))
)
def test_ctrl_c_says_what_is_left_as_it_is(project, monkeypatch, capfd, step, said):
    def interrupted(cfg):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(f"pipeline.{step}"), "main", interrupted)
    code, _, err = shell(monkeypatch, capfd, step)
    assert code == 130
    assert f"pipeline.{step}: interrupted; " in err and said in err and len(err.strip().splitlines()) == 1


def test_a_step_run_from_a_shell_ends_with_status_2_and_no_traceback(tmp_path):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "pipeline.clean", "source=x=y"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
