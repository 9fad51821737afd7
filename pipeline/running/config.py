"""Where conf/ lies, what of a config is a run's identity (what decides its result) and its hash, and what it builds."""

import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from pipeline.images.layout import layout_of
from pipeline.running.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"

# Where things lie and whether to do them again changes no result: the same choices have the same hash under
# `dvc repro`, `dvc exp run` and a sweep.
NOT_IDENTITY = ("paths", "output", "rerun", "hydra")


def identity(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config as plain values, without what does not change the result; missing values raise."""
    values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    if data := values.get("data"):
        data.pop("max_bad_share", None)  # decides whether cleaning fails, and nothing of what it keeps
        data |= {name: sorted(data[name]) for name in ("allow", "deny")} | {"layout": asdict(layout_of(data))}
    for key in ("initial_weights", "teacher"):
        if given := values.get(key):
            paths = [_plain(path) for path in (given if isinstance(given, list) else [given])]
            values[key] = paths if len(paths) > 1 else paths[0]
    return {key: value for key, value in values.items() if key not in NOT_IDENTITY}


def _plain(path: str) -> str:
    """A path as it is shortest: `start.keras` for ./start.keras and for the absolute one, which are the same model."""
    return os.path.normpath(path).removeprefix(os.path.join(os.getcwd(), ""))


def config_hash(values: Mapping[str, Any]) -> str:
    """SHA-256 in hex of `values`, whatever the order of their keys; UserError for NaN or infinity.

    A whole number is the same as 0 and as 0.0: one point of a sweep is one run, however it was written.
    """
    for key, value in flatten(values).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{key}={value}: expected a finite number")
    return hashlib.sha256(json.dumps(_whole(values), sort_keys=True, allow_nan=False).encode()).hexdigest()


def _whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def run_name(values: Mapping[str, Any]) -> str:
    """The study's name for a run, such as `model_2_best_sgd_rgb_128` or, balanced, `..._128_balanced_1`."""
    choices = [values[group]["name"] for group in ("model", "optimizer", "channels")] + [str(values["batch_size"])]
    return "_".join(choices + [name for name in [values["balance"]["name"]] if name != "none"])


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; a list stays one value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def built(group: str, choice: Mapping[str, Any], **more: Any) -> Any:
    """What the `build` of a file of conf/<group>/ makes, given `more` too; UserError, naming the file, when nothing."""
    try:
        return instantiate(choice["build"], **more)
    except InstantiationException as error:
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        target = choice["build"].get("_target_")
        why = str(error).partition(", set env var")[0] if cause is error else f"{type(cause).__name__}: {cause}"
        raise UserError(f"{group}={choice['name']}: build._target_={target}: {why}") from error


def own_source(group: str, choice: Mapping[str, Any]) -> Path | None:
    """The file of somebody's own that has what `built` calls; None for the project's, Keras's and Python's own."""
    module = built(group, choice, _partial_=True).func.__module__
    if module.partition(".")[0] in (__package__.partition(".")[0], "keras", "tensorflow"):
        return None
    file = getattr(sys.modules[module], "__file__", None)
    return Path(file) if file else None
