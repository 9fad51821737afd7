"""A small project to run steps in: resized arrays of random pixels in a folder of its own, and the real config."""

import copy
import gc
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from pipeline.labels import LABELS
from pipeline.running import database
from pipeline.running.check import check
from pipeline.running.config import CONF

# The real config shrunk: a linear model that trains in a second.
TINY = ("model=model_2_best", "model.build.layers=[flatten]", "optimizer=sgd", "batch_size=8", "epochs=3")


def composed(step: str, *overrides: str) -> DictConfig:
    """conf/<step>.yaml with overrides, as the step's `main` gets it: checked."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = [each for each in parsed if _of_a_value(each)]
    whole = copy.deepcopy(_chosen(step, tuple(each.input_line for each in parsed if each not in values)))
    try:
        for each in values:
            OmegaConf.update(whole, each.key_or_group, each.value())  # as Hydra does
    except (ConfigAttributeError, ConfigKeyError):
        whole = copy.deepcopy(_chosen(step, overrides))  # Hydra knows what is to be said of them
    whole.hydra.overrides.task = list(overrides)
    HydraConfig.instance().set_config(whole)
    with open_dict(whole):
        del whole["hydra"]
    check(step, whole)
    return whole


def _of_a_value(override: Override) -> bool:
    """Whether it gives something that is there another value, rather than to choose a file, to add or to take out."""
    return override.type is OverrideType.CHANGE and not (CONF / override.key_or_group).is_dir()


@cache
def _chosen(step: str, overrides: tuple[str, ...]) -> DictConfig:
    """The whole config: composed once for all tests that choose the same, since it takes Hydra a fifth of a second."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3", job_name=step):
        return compose(step, list(overrides), return_hydra_config=True)


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file in `folder` and below, by its place there."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outputs(stage: str) -> list[str]:
    """What dvc.yaml takes a stage to write, with the values of its matrix not filled in."""
    stages = yaml.safe_load((CONF.parent / "dvc.yaml").read_text())["stages"]
    listed = [each for kind in ("outs", "metrics", "plots") for each in stages[stage].get(kind, [])]
    return [each if isinstance(each, str) else next(iter(each)) for each in listed]


def write_arrays(folder: Path, channels: int = 3, name: str = "sample", images: int = 40, seed: int = 0) -> None:
    """Arrays as `resize` writes them; the mean of an image tells its class a little, so that there is some signal."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    digest = {}
    for position, split in enumerate(("train", "valid", "test")):
        labels = np.arange(images) % len(LABELS)
        pixels = generator.integers(0, 120, (images, 48, 48, channels)) + labels[:, None, None, None] * 15
        np.save(folder / f"{split}.npy", pixels.astype(np.uint8))
        pd.DataFrame(
            {
                "id": [f"{split}/{LABELS[label]}/{row}.jpg" for row, label in enumerate(labels)],
                "label": labels.astype(np.int8),
                "gray": generator.random(images) < 0.5,
                "mean": pixels.mean((1, 2, 3)).astype(np.float32),
            }
        ).to_parquet(folder / f"{split}.parquet")
        digest[split] = f"{position}-{seed}-{name}"
    about = {"name": name, "size": 48, "channels": "rgb", "digest": digest, "made_from": "", "labels": list(LABELS)}
    (folder / "dataset.json").write_text(json.dumps(about))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first: with two processes, one would else be left alone with the last of them."""
    long = ("test_sweep.py", "test_train.py", "test_openapi.py", "test_page.py", "test_export.py", "test_unsent.py")
    items.sort(key=lambda item: long.index(item.path.name) if item.path.name in long else len(long))


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Ctrl-C as at a terminal: what is started in the background, as by `make test &`, would ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def no_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes it a second or more."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture(scope="session", autouse=True)
def new_databases_are_copies(request: pytest.FixtureRequest) -> Iterator[None]:
    """A database that is not there yet is a copy of `no_runs`, in this process; those that tests start make theirs."""

    def copied(file: Path) -> None:
        check_database(file)
        if not file.exists():
            shutil.copy(request.getfixturevalue("no_runs"), file)

    check_database = database.check
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "check", copied)
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_runs: Path) -> Path:
    """A working directory with data/resized/rgb and a store without runs; whatever a step writes stays in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(no_runs, tmp_path / "mlruns")  # for the processes that a test starts
    write_arrays(tmp_path / "data/resized/rgb")
    return tmp_path


def within(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Go on in that project, with its own MLflow."""
    patch.chdir(folder)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one trained run, out, for the tests to copy."""
    from pipeline import train  # here: most tests do without TensorFlow

    folder = tmp_path_factory.mktemp("trained")
    write_arrays(folder / "data/resized/rgb")
    with pytest.MonkeyPatch.context() as patch:
        within(folder, patch)
        train.main(composed("train", *TINY, "output=out"))
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of its run, out, in a copy of it that may be changed and that the test goes on in."""
    within(tmp_path, monkeypatch)
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own, where this user may mount one."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root to mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # a test may still have a file open there


def pytest_collection_finish() -> None:
    """What all the imports made is never looked through for garbage again: Keras asks for that before each training."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # tracing a model makes that many objects in a moment, hardly any of them garbage


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """A small model as export writes a SavedModel: an image's brightness alone decides its emotion."""
    import keras
    from serving.known import STEEP

    from pipeline.exporting import savedmodel

    image = keras.Input((48, 48, 3), name="image", dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    dense = keras.layers.Dense(7, activation="softmax")
    model = keras.Model(image, dense(mean))
    at = np.arange(7) / 6
    dense.set_weights([np.tile(STEEP * 2 * at / 3, (3, 1)), -STEEP * at**2])
    folder = tmp_path_factory.mktemp("saved") / "emotion/1"
    savedmodel.save(model, folder)
    return folder


@pytest.fixture(scope="session")
def litert(saved: Path) -> bytes:
    """float16.tflite of that model, converted as export does."""
    from pipeline.exporting import litert

    return litert.convert(saved, "float16", np.empty(0))


@pytest.fixture(scope="session")
def export(litert: bytes) -> Callable[..., Path]:
    """Writes an exported model into a folder: export(folder, version=1, temperature=1.0, ...)."""

    def write(folder: Path, **changes) -> Path:
        figure = {"value": 0.5, "low": 0.48, "high": 0.52, "confidence": 0.9, "images": 2000}
        about = {
            "model": "tiny", "run": "tiny_sgd_rgb_8", "run_id": "0" * 32, "config_hash": "1" * 64,
            "train_digest": "2" * 64, "labels": list(LABELS), "size": 48, "channels": 3, "temperature": 1.0,
            "threshold": 0.5, "precision": 0.7, "accuracy": {"valid": figure, "test": figure},
            "f1_macro": {"valid": figure, "test": figure}, "version": 1,
            "files": {"litert/float16.tflite": hashlib.sha256(litert).hexdigest()},
        }  # fmt: skip
        beside = folder.with_name(folder.name + ".new")
        (beside / "litert").mkdir(parents=True)
        (beside / "litert/float16.tflite").write_bytes(litert)
        (beside / "manifest.json").write_text(json.dumps(about | changes))
        if folder.exists():
            old = folder.with_name(folder.name + ".old")
            folder.rename(old)
            beside.rename(folder)
            shutil.rmtree(old)
        else:
            beside.rename(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def exported(export, tmp_path_factory) -> Path:
    """The folder of that model; not to be changed."""
    return export(tmp_path_factory.mktemp("exported") / "champion")
