"""A run's identity: equal for equal choices however they were made, other for any choice that changes the result."""

import pytest
from conftest import composed
from omegaconf import MissingMandatoryValue, OmegaConf

from pipeline.running.config import config_hash, flatten, identity, run_name
from pipeline.running.errors import UserError

RUN = ("model=model_2_best", "optimizer=sgd", "channels=rgb", "batch_size=128")


def hash_of(*overrides):
    return config_hash(identity(composed("train", *RUN, *overrides)))


@pytest.fixture(scope="module")
def plain():
    return hash_of()


def test_a_run_has_the_studys_name():
    assert run_name(identity(composed("train", *RUN))) == "model_2_best_sgd_rgb_128"


@pytest.mark.parametrize(
    "override", ["output=elsewhere", "rerun=true", "paths.resized=/elsewhere", "paths.tracking=other"]
)
def test_where_a_run_lies_and_whether_it_runs_again_is_no_part_of_it(plain, override):
    assert hash_of(override) == plain


def test_the_order_of_a_persons_lists_changes_nothing():
    assert hash_of("data.deny=[a,b]") == hash_of("data.deny=[b,a]") != hash_of("data.deny=[a]")


@pytest.mark.parametrize(
    "override",
    ["seed=1", "epochs=51", "batch_size=64", "optimizer=adam", "optimizer.build.momentum=0.8", "augment=none",
     "channels=grayscale", "model=model_1_concept", "deterministic=true", "precision=mixed_bfloat16",
     "label_smoothing=0.1", "model.build.layers=[flatten]", "data=own"],
)  # fmt: skip
def test_whatever_changes_the_result_changes_the_hash(plain, override):
    assert hash_of(override) != plain


def test_the_default_said_aloud_is_the_default(plain):
    assert hash_of("seed=0", "data=sample") == plain


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert config_hash({"a": 1, "b": {"c": 2, "d": 3}}) == config_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert config_hash({"a": [1, 2]}) != config_hash({"a": [2, 1]})


def test_the_hash_is_the_same_on_every_machine():
    found = config_hash({"b": [1, "x"], "a": {"c": None, "d": 0.1}})
    assert found == "991d59718aee1d55edd77a1e2524840e903cc6a69e7394cb38a57aec63671316"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_named(value):
    with pytest.raises(UserError, match=r"optimizer\.rate=(nan|inf): expected a finite number"):
        config_hash({"optimizer": {"rate": value}})


def test_a_choice_that_is_missing_raises():
    with pytest.raises(MissingMandatoryValue):
        identity(OmegaConf.create({"model": "???"}))


def test_identity_is_plain_and_resolved():
    found = identity(OmegaConf.create({"a": 1, "b": "${a}", "c": ["${a}"], "paths": {"x": "y"}, "hydra": {}}))
    assert found == {"a": 1, "b": 1, "c": [1]}
    assert type(found["c"]) is list


def test_flatten_joins_keys_and_keeps_lists():
    nested = {"a": 1, "b": {"c": {"d": 2}, "e": [{"f": 3}]}, "g": None}
    assert flatten(nested) == {"a": 1, "b.c.d": 2, "b.e": [{"f": 3}], "g": None}


def test_flatten_of_the_real_config_keeps_every_value():
    flat = flatten(identity(composed("train", *RUN)))
    assert flat["optimizer.build.learning_rate"] == 0.01
    assert flat["model.name"] == "model_2_best"
    assert not any(isinstance(value, dict) for value in flat.values())


def test_a_whole_number_hashes_alike_however_it_is_written():
    assert config_hash({"a": {"b": [0, 1.5]}}) == config_hash({"a": {"b": [0.0, 1.5]}})
    assert config_hash({"a": True}) != config_hash({"a": 1.5})
