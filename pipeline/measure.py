"""Say how good an exported model, such as the shipped one, is on labelled faces of your own; nothing is trained.

The source is a folder or .zip of face crops in folders called as their emotions, in splits or not, or a .csv of pixels
as FER-2013 is. Blank images, placeholders and files that can't be decoded are left out, as cleaning does; copies count,
and are said. Writes to `out`, whole or not at all: metrics.json, report.json, predictions.parquet and PNG files, as
evaluate does for a run.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from pipeline.images.blocks import decoded_blocks
from pipeline.images.decode import Decoded
from pipeline.images.layout import layout_of
from pipeline.images.manifest import judge, refuse_bad, within_limit
from pipeline.images.page import summarize, table
from pipeline.images.shape import resized
from pipeline.images.shards import slices
from pipeline.images.source import CHANGED, Source, open_labelled
from pipeline.images.survey import survey
from pipeline.labels import LABELS
from pipeline.reporting import on_split, run_plots
from pipeline.reporting.calibration import Calibration
from pipeline.running import cli
from pipeline.running.cores import cores
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, refuse_inside, whole_folder, write_json
from pipeline.running.progress import progress
from pipeline.running.run_folder import PREDICTIONS, REPORT
from pipeline.serving.model import Model

log = logging.getLogger(__name__)

MARK = Path(REPORT).name  # what every folder that this writes has
AT_ONCE = 256  # faces between two looks at how far it got


def main(cfg: DictConfig) -> None:
    settings = OmegaConf.to_container(cfg, resolve=True)
    looks, near, out = settings["looks"], settings["near"], Path(cfg.out)
    refuse_inside(out, Path(cfg.source))
    check_place(out, MARK)
    model = Model(Path(cfg.exported), settings["batch_sizes"], cores())
    raw = open_labelled(cfg.source, layout_of(cfg.data), cfg.split)
    ids = within_limit(raw.places, cfg.limit, cfg.limit_seed)
    with survey(raw, ids, looks, cfg.shard, cfg.paths.cache) as (known, prints):
        held_out = known.assign(split="test")  # whatever the split is: train would lose its copies
        manifest = judge(held_out, prints, cfg.blank_spread, near, cfg.data.allow, cfg.data.deny, ["train"])
    manifest = manifest.assign(split=cfg.split, note=manifest.note.str.replace("_in_test", f"_in_{cfg.split}"))
    refuse_bad(manifest, cfg.data.max_bad_share, cfg.source)
    index = manifest[manifest.kept].reset_index(drop=True)
    if index.empty:
        raise UserError(f"{cfg.source}: none of its images can be judged by; add some")
    said = probabilities(model, raw, index.id.tolist(), looks["max_bytes"], looks["max_pixels"])
    learned = Calibration(model.about["temperature"], model.about["threshold"])
    figures = on_split.figures(index, said, learned, settings, np.random.default_rng(cfg.seed))
    name = Path(cfg.source).name
    own = {key: model.about[key] for key in ("model", "version", "accuracy", "f1_macro", "answers", "caution")}
    report = {"source": str(cfg.source), "split": cfg.split, "exported": str(cfg.exported), "when_exported": own}
    report |= {"confidence": cfg.confidence, "calibration": asdict(learned), "measured": figures}
    with whole_folder(out, MARK) as folder:
        for plot, figure in on_split.plots(figures, index.label.to_numpy(), said, learned, name).items():
            figure.savefig(folder / f"{plot}.png", dpi=run_plots.DPI)
        on_split.table(cfg.split, index, said).to_parquet(folder / Path(PREDICTIONS).name)
        write_json(folder / "metrics.json", on_split.headline(figures))
        write_json(folder / MARK, report)
    print(table({"name": str(cfg.source), "root": raw.root} | summarize(manifest)))
    for line in lines(name, figures, model.about):
        log.info("%s", line)
    log.info("see %s", out)


def probabilities(model: Model, raw: Source, ids: Sequence[str], max_bytes: int, max_pixels: int) -> np.ndarray:
    """What the model says of each image, float32 [N, 7], before its temperature; UserError for one that has changed."""
    size, _, channels = model.shape
    found = []
    for part in progress(slices(ids, AT_ONCE), len(ids), "read faces", step=AT_ONCE):
        decoded = [image for block in decoded_blocks(raw, part, max_bytes, max_pixels) for image, _ in block]
        for id, image in zip(part, decoded, strict=True):
            if not isinstance(image, Decoded):
                raise UserError(CHANGED.format(path=raw.path, id=id))
        found.append(model.raw(np.stack([resized(image.image, size, channels) for image in decoded])))
    return np.concatenate(found)


def lines(name: str, figures: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """What it comes to, for the log: here, where the model was tested, and what neither can tell."""
    trained_on = about.get("data", "its own images")  # exports of older versions don't say it
    missing = [label for label in LABELS if not figures["per_class"][label]["support"]]
    answers, said = figures["calibration"]["answers"], [on_split.accuracy_line(name, figures)]
    if missing:
        said.append(f"no images of {', '.join(missing)}, and so no macro average")
    right = f", {answers['precision']:.1%} of them right" if "precision" in answers else ""
    said.append(f'sure enough to answer, and not "not sure": {answers["coverage"]:.1%}{right}')
    if test := about["accuracy"].get("test"):
        own = f"{test['value']:.4f} ({test['low']:.4f} to {test['high']:.4f}), {test['images']} images"
        said.append(f"when it was exported, on the test of {trained_on}: accuracy {own}")
    if about["caution"]:
        said.append(about["caution"])
    return [*said, f"images of yours that it was trained on ({trained_on}) make it look better than it is"]


if __name__ == "__main__":
    cli.run("measure")
