"""Every value in conf/ has a kind and every number a range, and what is of neither is refused before any work."""

import shutil
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
import yaml
from conftest import TINY, composed
from omegaconf import OmegaConf
from shells import shell

from pipeline.running import check, choices, cli
from pipeline.running.config import CONF, flatten
from pipeline.running.errors import UserError
from pipeline.running.ranges import RANGES, range_of

REQUIRED = {
    "train": ("model=compact", "optimizer=sgd_cosine"),
    "clean": ("data=own",),
    "resize": ("data=own", "channels=rgb"),
}
OTHERS = {  # of groups whose default has fewer values
    "train": [("model=model_2_best", f"optimizer={name}", "balance=balanced_1") for name in ("adam", "rmsprop")],
    "balance": [("balance=balanced_1",)],
    "clean": [("data=raf_db", "+data.layout.splits.val=valid")],
}
STEPS = sorted(file.stem for file in CONF.glob("*.yaml") if "defaults:" in file.read_text())
FREE = ("endings.*", "parameters.*", "model.build.*")  # of people's own; the published runs' are data


@cache
def as_they_are(step: str) -> list[dict]:
    sets = [REQUIRED.get(step, ()), *OTHERS.get(step, [])]
    return [flatten(OmegaConf.to_container(composed(step, *overrides))) for overrides in sets]


@pytest.mark.parametrize("step", STEPS)
def test_every_number_has_a_range(step):
    for values in as_they_are(step):
        for name, value in values.items():
            numbers = [each for each in (value if isinstance(value, list) else [value]) if type(each) in (int, float)]
            if numbers and not any(fnmatch(name, free) for free in FREE):
                assert range_of(name), f"{name}={value} in conf/ has no range in pipeline/running/ranges.py"


def test_every_range_is_of_a_number_there_is():
    names = {name for step in STEPS for values in as_they_are(step) for name in values}
    for pattern in RANGES:
        assert any(range_of(name) is RANGES[pattern] and fnmatch(name, pattern) for name in names), pattern


@pytest.mark.parametrize(
    ("step", "override", "said"),
    [
        ("train", "label_smoothing=x", "label_smoothing=x: expected a number, from 0 to 0.99"),
        ("train", "label_smoothing=nan", "label_smoothing=nan: expected a number"),
        ("train", "augment.rotation=wide", "augment.rotation=wide: expected a number, from 0 to 180"),
        ("train", "augment.rotation=null", "augment.rotation=null: expected a number"),
        ("train", "augment.flip=3", "augment.flip=3: expected true or false"),
        ("train", "deterministic=1", "deterministic=1: expected true or false"),
        ("train", "optimizer.build.nesterov=x", "optimizer.build.nesterov=x: expected true or false"),
        (
            "train",
            "optimizer.build.learning_rate=-1",
            "optimizer.build.learning_rate=-1: expected a number, at least 0",
        ),
        ("train", "optimizer.schedule=3", "optimizer.schedule=3: expected null or a group"),
        ("train", "model.name=3", "model.name=3: expected a text; in quotes, model.name='\"3\"', it is one"),
        ("train", "output=3", "output=3: expected null or a text"),
        ("train", "data.deny=x", "data.deny=x: expected a list in brackets, such as data.deny=[one,another]"),
        ("train", "data.deny=[1]", "data.deny=1: expected a text"),
        ("train", "paths.multirun=[a]", "paths.multirun=['a']: expected a text"),
        ("train", "initial_weights=3", "initial_weights=3: expected null or a text or a list in brackets"),
        ("train", "teacher=3", "teacher=3: expected null or a text or a list in brackets"),
        ("train", "teacher=[a,3]", "teacher=3: expected a text"),
        ("train", "~label_smoothing", "label_smoothing: missing, and it is needed"),
        ("train", "~optimizer.build.learning_rate", "optimizer.build.learning_rate: missing"),
        ("train", "batch_size=true", "batch_size=true: expected a whole number, at least 1"),
        ("evaluate", "confidence=95", "confidence=95: expected a number, from 0.5 to 0.9999"),
        ("evaluate", "seed=-1", "seed=-1: expected a whole number, from 0 to 2147483647"),
        ("clean", "limit=few", "limit=few: expected all or a whole number, at least 7"),
        ("serve", "limits.pixels=178956971", "limits.pixels=178956971: expected a whole number, from 1 to 178956970"),
        ("analyze", "limits.pixels=178956971", "limits.pixels=178956971: expected a whole number, from 1 to 178956970"),
        ("clean", "looks.crops=[0.02,x]", "looks.crops=x: expected a number, from 0 to 0.45"),
        ("resize", "channels.count=2", "channels.count=2: expected 1 or 3"),
        ("resize", "channels.count=true", "channels.count=true: expected 1 or 3"),
        ("resize", "channels.count=3.0", "channels.count=3.0: expected 1 or 3"),
        ("train", "monitor=val_acc", "monitor=val_acc: expected val_accuracy or val_loss"),
        ("train", "monitor=null", "monitor=null: expected val_accuracy or val_loss"),
        ("train", "precision=bfloat16", "precision=bfloat16: expected float32 or mixed_bfloat16"),
        ("clean", "near.flips=17", "near.flips=17: expected a whole number, from 0 to 16"),
        ("clean", "sheet.tile=300", "sheet.tile=300: expected a whole number, from 8 to 256"),
        ("suspect", "folds=1", "folds=1: expected a whole number, at least 2"),
        ("suspect", "model.learning_rate=0", "model.learning_rate=0: expected a number, at least 1e-09"),
        ("draw", "camera.noise=[0,loud]", "camera.noise=loud: expected a number"),
        ("draw", "view.yaw=90", "view.yaw=90: expected a number, from 0 to 80"),
        ("draw", "view.zoom=[0,0.5]", "view.zoom=0: expected a number, from 0.05 to 2"),
        ("draw", "view.gaze=2", "view.gaze=2: expected a number, from 0 to 1"),
        ("train", "+mixup=0.2", "mixup: there is no such value; did you mean augment.mixup?"),
        ("train", "+label_smooting=0.1", "label_smooting: there is no such value; did you mean label_smoothing?"),
        ("train", "+augment.rotaton=5", "augment.rotaton: there is no such value; did you mean augment.rotation?"),
        ("train", "++augment.hue=0.1", "augment.hue: there is no such value; python -m pipeline.train --help shows"),
        ("train", "+optimizer.learning_rate=1", "optimizer.learning_rate: there is no such value; did you mean opt"),
        ("train", "+model.biuld={a: 1}", "model.biuld: there is no such value; did you mean model.build or opt"),
        ("train", "+model.build.channels=1", "model.build.channels: a model is built for the size and the channels"),
        ("train", "+model.build.size=64", "model.build.size: a model is built for the size and the channels"),
        ("train", "+optimizer.build.clipvalue=x", "optimizer.build.clipvalue=x: expected a number or true or false"),
        ("evaluate", "+data=own", "data: there is no such value; python -m pipeline.evaluate --help shows all"),
        ("rank", "+topp=5", "topp: there is no such value; did you mean top?"),
        ("analyze", "+faces.crop.fill=0.2", "faces.crop.fill: there is no such value; did you mean faces.crop.fills?"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(step, override, said):
    with pytest.raises(UserError) as refusal:
        composed(step, *REQUIRED.get(step, ()), override)
    assert str(refusal.value).startswith(said) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("step", "overrides", "said"),
    [
        (
            "train",
            ["balance=even_sampling", "balance.class_weight=true"],
            "balance.class_weight=true: with balance.even",
        ),
        (
            "balance",
            ["balance=class_weight", "balance.even_sampling=true"],
            "balance.class_weight=true: with balance.even",
        ),
        ("train", ["teacher_share=0.7"], "teacher_share=0.7: without a teacher it changes nothing but the run's hash"),
        (
            "train",
            ["teacher_augmented=true"],
            "teacher_augmented=true: without a teacher it changes nothing but the run's hash; name one in teacher, or "
            "leave it at false",
        ),
        (
            "train",
            ["+experiment=finetune", "optimizer=adam"],
            "optimizer=adam: optimizer.build.learning_rate=0.01 optimizer.build.ema_momentum=0.9 would stay, which "
            "experiment=finetune means for sgd_cosine; give what fits adam, such as optimizer.build."
            "learning_rate=..., or take it out, ~optimizer.build.ema_momentum",
        ),
        (
            "train",
            ["+experiment=champion_2", "optimizer=adam", "augment=none", "optimizer.build.learning_rate=0.001"],
            "augment=none: augment.sharp=false augment.erase=0.1 augment.mixup=0 would stay, which "
            "experiment=champion_2 means for strong",
        ),
    ],
)
def test_values_that_cannot_be_together_are_refused_by_name(step, overrides, said):
    with pytest.raises(UserError) as refusal:
        composed(step, *(() if "+" in overrides[0] else REQUIRED.get(step, ())), *overrides)
    assert str(refusal.value).startswith(said) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["+experiment=finetune", "data=own", "optimizer=sgd_cosine", "optimizer.build.learning_rate=0.002"],
        ["+experiment=finetune", "model=model_2_best", "channels=rgb"],
        ["+experiment=champion_1", "optimizer=adam"],
        [
            "+experiment=finetune",
            "optimizer=adam",
            "optimizer.build.learning_rate=0.0005",
            "~optimizer.build.ema_momentum",
        ],
        ["+experiment=champion_4", "teacher=null", "teacher_share=0.5"],
        ["+experiment=champion", "teacher=null", "teacher_share=0.5", "teacher_augmented=false"],
    ],
)
def test_an_experiment_takes_another_choice_with_the_values_that_fit_it(overrides):
    assert composed("train", *overrides)


@pytest.mark.parametrize(
    "override",
    [
        "balance.per_class=null",
        "optimizer.schedule=null",
        "output=some/where",
        "seed=${epochs}",
        "+optimizer.build.clipnorm=5",
        "+optimizer.build.amsgrad=true",
        "+model.build.widths=[1,2]",
        "+experiment=champion",
        "augment.rotation=12.5",
        "data.deny=[]",
        "teacher=one/run",
        "teacher=[one/run,other.keras]",
    ],
)
def test_what_another_file_of_the_group_may_be_is_let_through(override):
    assert composed("train", *REQUIRED["train"], override)


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """conf/ with somebody's own file in a group."""
    shutil.copytree(CONF, tmp_path / "conf")
    for module in (cli, check, choices):
        monkeypatch.setattr(module, "CONF", tmp_path / "conf")
    return tmp_path / "conf/balance/mine.yaml"


def test_a_file_that_is_no_yaml_is_named_with_its_line_when_chosen_and_else_in_nobodys_way(
    own, project, monkeypatch, capfd
):
    own.write_text("name: mine\nbuild: {_target_: x\n  - y: [\n")
    code, _, err = shell(monkeypatch, capfd, "balance", "balance=mine")
    assert code == 2 and f"{own}, line 3: not valid YAML, expected" in err and len(err.splitlines()) == 1
    assert shell(monkeypatch, capfd, "balance")[0] == 0


@pytest.mark.parametrize("content", (b"# caf\xe9\nname: mine\n", b"- a\n- b\n", b"", b"\0\1\2"))
def test_a_file_that_can_be_no_choice_is_in_nobodys_way(own, project, monkeypatch, capfd, content):
    own.write_bytes(content)
    own.with_name("._none.yaml").write_bytes(b"\xff")
    own.with_name(".#none.yaml").symlink_to("me@host.1:2")  # Emacs's, which leads nowhere
    assert shell(monkeypatch, capfd, "balance")[0] == 0
    page = cli.help_page("balance")
    assert "  mine" in page and ".#" not in page and "._" not in page
    code, _, err = shell(monkeypatch, capfd, "balance", "balance=mine")
    assert code == 2 and len(err.splitlines()) == 1
    if b"\xe9" in content:
        assert f"{own}: not UTF-8" in err


def test_an_optimizer_without_a_rate_is_refused(own, project, monkeypatch, capfd):
    lion = own.parents[1] / "optimizer/lion.yaml"
    lion.write_text("name: lion\nbuild: {_target_: keras.optimizers.Lion}\nschedule: null\n")
    code, _, err = shell(monkeypatch, capfd, "train", TINY[0], "optimizer=lion")
    assert code == 2 and "optimizer.build.learning_rate: missing, and it is needed" in err


def test_a_misspelt_name_in_somebodys_own_experiment_is_refused(own, project, monkeypatch, capfd):
    experiment = own.parents[1] / "experiment/mine.yaml"
    experiment.write_text("# @package _global_\nepochs: 1\nlabel_smooting: 0.1\n")
    code, _, err = shell(monkeypatch, capfd, "train", *TINY[:4], "+experiment=mine")
    assert code == 2 and "label_smooting: there is no such value; did you mean label_smoothing?" in err
    experiment.write_text(experiment.read_text().replace("smooting", "smoothing"))
    assert shell(monkeypatch, capfd, "train", *TINY[:4], "+experiment=mine")[0] == 0


def test_a_file_without_what_the_others_of_its_group_have_is_refused(own, project, monkeypatch, capfd):
    own.write_text("name: mine\nper_class: 5\neven_sampling: false\n")
    code, _, err = shell(monkeypatch, capfd, "balance", "balance=mine")
    assert code == 2 and "balance.class_weight: missing, and it is needed" in err
    own.write_text(own.read_text() + "class_weight: false\n")
    assert shell(monkeypatch, capfd, "balance", "balance=mine")[0] == 0


def test_a_key_that_no_other_file_of_its_group_has_is_refused(own, project, monkeypatch, capfd):
    noisy = own.parents[1] / "augment/noisy.yaml"
    study = (noisy.parent / "study.yaml").read_text().replace("name: study", "name: noisy")
    for key, said in (("rotashun", "did you mean augment.rotation?"), ("noise", "nothing reads it; leave it out")):
        noisy.write_text(f"{study}\n{key}: 5\n")
        code, _, err = shell(monkeypatch, capfd, "train", *TINY, "augment=noisy")
        assert code == 2 and err.startswith(f"pipeline.train: augment.{key}: no other file") and said in err
    noisy.write_text(study)
    assert shell(monkeypatch, capfd, "train", *TINY, "augment=noisy")[0] == 0


def test_a_value_of_another_file_of_the_group_is_named_with_the_files_that_have_it(project, monkeypatch, capfd):
    code, _, err = shell(monkeypatch, capfd, "train", *TINY[:1], "optimizer=adam", "optimizer.build.nesterov=true")
    assert code == 2 and "optimizer.build.nesterov: the file that was chosen from conf/optimizer/ has no" in err
    assert "sgd and sgd_cosine of it have; leave it out, or add it with ++optimizer.build.nesterov=..." in err


def test_what_a_model_of_ones_own_takes_is_its_own_business():
    others = ["model.build.crop=0.1", "model.build.stem=0"]
    assert composed("train", *REQUIRED["train"], "model.build._target_=nets_of_mine.net", *others)
    with pytest.raises(UserError, match=r"^model\.build\.crop=0\.1: expected a whole number"):
        composed("train", *REQUIRED["train"], *others)


@pytest.mark.parametrize(
    ("build", "schedule", "said"),
    [
        ({"learning_rate": 0.1}, {"warmup_epochs": 1, "decay": 2}, "optimizer.schedule: has decay, warmup_epochs; exp"),
        ({"learning_rate": 0.1}, {"warmup": 1}, "optimizer.schedule: has warmup; expected null or warmup_epochs alone"),
        ({"learning_rate": {"a": 1}}, None, "optimizer.build.learning_rate={'a': 1}: expected a number"),
    ],
)
def test_a_schedule_that_nothing_would_follow_is_refused(own, project, monkeypatch, capfd, build, schedule, said):
    mine = {"name": "mine", "build": {"_target_": "keras.optimizers.SGD"} | build, "schedule": schedule}
    (own.parents[1] / "optimizer/mine.yaml").write_text(yaml.safe_dump(mine))
    code, _, err = shell(monkeypatch, capfd, "train", TINY[0], "optimizer=mine")
    assert code == 2 and err.startswith(f"pipeline.train: {said}") and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("data/own", "deny: []", "deny:", "data.deny=null: expected a list in brackets"),
        ("data/own", "deny: []", "deny: train/happy/0.jpg", "data.deny=train/happy/0.jpg: expected a list in brackets"),
        ("clean", "crops: [0.02, 0.04]", "crops:", "looks.crops=null: expected a number, from 0 to 0.45"),
        ("clean", "shard: 1000", "shard:", "shard=null: expected a whole number, at least 1"),
        ("clean", "sheet:", "sheet:\nother:", "sheet=null: expected a value"),
        ("paths", "cache: .cache", "cache:", "paths.cache=null: expected a value"),
    ],
)
def test_a_value_that_was_emptied_or_is_no_list_in_its_file_is_refused(
    own, project, monkeypatch, capfd, file, old, new, said
):
    changed = own.parents[1] / f"{file}.yaml"
    assert old in changed.read_text()
    changed.write_text(changed.read_text().replace(old, new, 1))
    code, _, err = shell(monkeypatch, capfd, "clean", "data=own", "source=faces")
    assert code == 2 and err.startswith(f"pipeline.clean: {said}") and len(err.splitlines()) == 1


def test_a_copied_file_that_kept_its_name_is_refused_when_chosen_and_else_in_nobodys_way(
    own, project, monkeypatch, capfd
):
    shutil.copy(own.with_name("class_weight.yaml"), own)
    code, _, err = shell(monkeypatch, capfd, "balance", "balance=mine")
    said = "conf/balance/mine.yaml: has name: class_weight; expected name: mine, as its file is called"
    assert (code, err) == (2, f"pipeline.balance: {said}\n")
    assert shell(monkeypatch, capfd, "balance", "balance=class_weight")[0] == 0
    own.write_text(own.read_text().replace("class_weight", "mine", 1))
    assert shell(monkeypatch, capfd, "balance", "balance=mine")[0] == 0
