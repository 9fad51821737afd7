"""What a killed training resumes from: everything fit had at the end of a whole epoch, verified before it is used."""

import ast
import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.running.errors import UserError
from pipeline.running.files import sha256, whole_folder

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent


@dataclass
class State:
    """A training after `epoch` whole epochs: history so far (a dict per epoch) and the best weights until then."""

    epoch: int
    history: list[dict[str, float]]
    best: list[np.ndarray]


class Checkpoints:
    """The checkpoints of one run, `root`/<code>/epoch_00007 and the one before it; `run_id` is its MLflow run.

    <code> stands for what decides what a training does besides its config: it does not go on under another one than it
    began under. `own_code` is the digest of what is somebody's own in it.
    """

    def __init__(self, root: str | Path, config_hash: str, own_code: str):
        self.root = Path(root)
        self.code = code(own_code)
        self.folder = self.root / self.code[:8]
        self.config_hash = config_hash
        self._told: set[Path] = set()

    def of_other_code(self) -> bool:
        """Whether the run was cut off under other code, so that what it had is of no use."""
        return any(path.parent != self.folder for path in self.root.glob("*/epoch_*"))

    def save(self, model: keras.Model, state: State, run_id: str) -> None:
        """Write a new checkpoint whole or not at all, then forget all but it and the one before."""
        with whole_folder(self.folder / f"epoch_{state.epoch:05d}") as beside:
            _write(beside / "model.npz", [np.asarray(v) for v in model.variables])
            _write(beside / "optimizer.npz", [np.asarray(v) for v in model.optimizer.variables])
            _write(beside / "best.npz", state.best)
            about = {
                "config_hash": self.config_hash,
                "run_id": run_id,
                "epoch": state.epoch,
                "history": state.history,
                "sha256": {file.name: sha256(file) for file in sorted(beside.glob("*.npz"))},
            }
            (beside / "checkpoint.json").write_text(json.dumps(about))
        for old in self._found()[2:]:
            shutil.rmtree(old)

    def run_id(self) -> str | None:
        """The MLflow run that the newest sound checkpoint is of; None when there is none."""
        newest = self._newest()
        return newest[1]["run_id"] if newest else None

    def restore(self, model: keras.Model) -> State | None:
        """Set `model` and its optimizer to the newest sound checkpoint, and return its state; None without one."""
        if not (newest := self._newest()):
            return None
        folder, about = newest
        model.optimizer.build(model.trainable_variables)
        _assign(model.variables, _read(folder / "model.npz"))
        _assign(model.optimizer.variables, _read(folder / "optimizer.npz"))
        return State(about["epoch"], about["history"], _read(folder / "best.npz"))

    def remove(self) -> None:
        """Forget every checkpoint of the run: it is finished."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("epoch_*"), reverse=True)

    def _newest(self) -> tuple[Path, dict] | None:
        """The newest checkpoint that is not cut short, altered or of another config: if need be, the one before."""
        for folder in self._found():
            if about := self._sound(folder):
                return folder, about
            if folder not in self._told:
                log.warning("%s: cut short, altered or of another config; not used", folder)
                self._told.add(folder)
        return None

    def _sound(self, folder: Path) -> dict | None:
        try:
            about = json.loads((folder / "checkpoint.json").read_text())
            sound = about["config_hash"] == self.config_hash and all(
                sha256(folder / name) == digest for name, digest in about["sha256"].items()
            )
        except PermissionError as error:
            raise UserError(f"{folder}: can't be read ({error.strerror}); grant access to it, or remove it") from None
        except (OSError, ValueError, KeyError):
            return None
        return about if sound else None


def code(own_code: str) -> str:
    """SHA-256 in hex of this package's modules, `own_code` and the versions of Keras and TensorFlow."""
    said = f"{keras.__version__} {tf.__version__} {own_code}"
    digest = hashlib.sha256(said.encode())
    for file in sorted(PACKAGE.glob("[!.]*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def own_code(files: Sequence[Path]) -> str:
    """SHA-256 in hex of files of somebody's own and of those beside them that they import; "" for none."""
    if not files:
        return ""
    digest = hashlib.sha256()
    for file in sorted(set.union(*map(_with_imported, files))):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _with_imported(file: Path) -> set[Path]:
    """`file`, the files beside it that it names in an import, and those that these do."""
    found, waiting = set(), {file}
    while waiting:
        found.add(at := waiting.pop())
        if at.suffix != ".py":
            continue
        nodes = ast.walk(ast.parse(at.read_bytes()))
        imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in imports for alias in node.names}
        names |= {node.module for node in imports if isinstance(node, ast.ImportFrom) and node.module}
        beside = {file.parent / f"{name.rpartition('.')[2]}.py" for name in names}
        waiting |= {each for each in beside - found if each.is_file()}
    return found


def _write(path: Path, arrays: list[np.ndarray]) -> None:
    np.savez(path, **{f"{position:05d}": array for position, array in enumerate(arrays)})


def _read(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return [file[name] for name in sorted(file.files)]


def _assign(variables: list, arrays: list[np.ndarray]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
