import itertools
from collections import Counter

import pytest
from conftest import composed
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from published import figures

from pipeline.running.cli import CONF
from pipeline.running.config import config_hash, identity, run_name

EXPERIMENTS = sorted(file.stem for file in (CONF / "experiment").glob("*.yaml"))


def points(experiment: str) -> list[list[str]]:
    """The overrides of every run of an experiment's sweep."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        some = ["model=compact", "optimizer=sgd"]  # a sweep fills these in; its own config is wanted here
        cfg = compose("train", [f"+experiment={experiment}", *some], return_hydra_config=True)
    swept = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
    choices = [
        [f"{each.key_or_group}={value}" for value in each.sweep_string_iterator()]
        if each.is_sweep_override()
        else [f"{each.key_or_group}={each.get_value_element_as_str()}"]
        for each in OverridesParser.create().parse_overrides(swept)
    ]
    return [list(point) for point in itertools.product(*choices)]


@pytest.mark.parametrize(("experiment", "runs"), [("study_rgb", 60), ("study_grayscale", 36)])
def test_the_grid_is_the_studys_to_the_point(experiment, runs):
    grid = points(experiment)
    assert len(grid) == runs
    names = Counter("_".join(override.partition("=")[2] for override in point) for point in grid)
    rows = figures().query("data == 'augment'")
    published = rows[rows["channels"] == experiment.removeprefix("study_")]
    model = published["model"].str.replace("nodroupout_nobatchn", "nodropout_nobatchn")
    expected = model + "_" + published["optimizer"] + "_" + published["batch_size"].astype(str)
    assert names == Counter(expected)


@pytest.mark.parametrize("experiment", ["study_rgb", "study_grayscale"])
def test_the_hyper_parameters_are_the_studys(experiment):
    by_optimizer = {
        "adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999},
        "rmsprop": {"learning_rate": 0.001, "rho": 0.9},
        "sgd": {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True},
    }
    for name, expected in by_optimizer.items():
        cfg = composed("train", f"+experiment={experiment}", "model=model_2_best", f"optimizer={name}")
        assert {key: value for key, value in cfg.optimizer.build.items() if key != "_target_"} == expected
        assert cfg.optimizer.schedule is None
        assert (cfg.epochs, cfg.label_smoothing, cfg.data.name) == (50, 0, "mmafedb")
        assert cfg.channels.name == experiment.removeprefix("study_")
        augment = {key: value for key, value in cfg.augment.items() if value}
        assert augment == {"name": "study", "flip": True, "shear": 0.2, "zoom": 0.2}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_point_of_a_sweep_is_the_run_that_its_choices_name(experiment):
    point = points(experiment)[-1]
    swept = composed("train", f"+experiment={experiment}", *point)
    choices = [f"{group}={swept[group].name}" for group in ("data", "model", "optimizer", "channels", "augment")]
    keys = ["epochs", "batch_size", "label_smoothing", "initial_weights", "teacher", "augment.erase", "augment.mixup"]
    keys += ["augment.sharp", "teacher_share", "teacher_augmented", "monitor", "precision", "model.build.smooth"]
    keys += [f"optimizer.build.{key}" for key in ("learning_rate", "ema_momentum")]
    chosen = {key: OmegaConf.select(swept, key) for key in keys}
    values = [f"{key}={value}" for key, value in chosen.items() if value is not None]
    by_hand = composed("train", *choices, *values, *point)
    assert config_hash(identity(swept)) == config_hash(identity(by_hand))
    assert run_name(identity(swept)).startswith(swept.model.name)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_says_its_command_its_cost_and_what_to_expect(experiment):
    header = (CONF / "experiment" / f"{experiment}.yaml").read_text().partition("defaults:")[0]
    assert f"+experiment={experiment}" in header
    assert "Cost (estimated)" in header or "Cost (measured)" in header
    assert "Expect" in header
