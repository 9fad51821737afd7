"""manifest.json of an export: which model it is, how good, how to read its answers, and the checksum of every file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pipeline.labels import LABELS
from pipeline.learning.arrays import Arrays
from pipeline.running.files import sha256
from pipeline.running.run_folder import EvaluatedRun


def about(run: EvaluatedRun, arrays: Arrays, version: int) -> dict[str, Any]:
    """What whoever serves the model has to know of it, and what a person asks about it, but for its files."""
    learned = run.report["calibration"]
    return {
        "model": run.config.model.name,
        "architecture": OmegaConf.to_container(run.config.model.build),
        "version": version,
        **{key: run.about[key] for key in ("data", "run", "run_id", "config_hash", "train_digest")},
        "labels": list(LABELS),
        "size": arrays.size,
        "channels": arrays.channels,
        **{key: learned[key] for key in ("temperature", "threshold", "precision")},
        "accuracy": _measured(run.report, "accuracy"),
        "f1_macro": _measured(run.report, "f1_macro"),
        "answers": _answers(run.report),
        "caution": run.about.get("caution", ""),
    }


def _measured(report: Mapping[str, Any], score: str) -> dict[str, dict[str, float]]:
    """Value, interval, its confidence and images by split, of those splits whose interval is known."""
    figures = {}
    for name in ("valid", "test"):
        if score not in report[name]["intervals"]:
            continue
        of = report[name]
        figures[name] = _figure(of["scores"][score], of["intervals"][score], report["confidence"], of["images"])
    return figures


def _answers(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How often its answers over the threshold are right, as `_measured`; images: those that got an answer."""
    figures = {}
    for name in ("valid", "test"):
        given = report[name]["calibration"]["answers"]
        if "precision" in given:
            ends, images = given["intervals"]["precision"], given["images"]
            figures[name] = _figure(given["precision"], ends, report["confidence"], images)
    return figures


def _figure(value: float, ends: Sequence[float], confidence: float, images: int) -> dict[str, float]:
    """A score with its interval, as the service's schema has it."""
    return {"value": value, "low": ends[0], "high": ends[1], "confidence": confidence, "images": images}


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 in hex of every file in `folder`, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(file.relative_to(folder)): sha256(file) for file in files}
