"""Look at every raw image once and write a manifest: what it is, and whether it is kept or the reason why not.

Nothing is copied or deleted. Set aside are files that can't be decoded, blank images, placeholders, and images of train
that also stand in valid, in test or earlier in train, with the same pixels or as nearly the same picture; so are those
of a valid that is drawn from train. Writes data/clean/: manifest.parquet, summary.json, report.html and a contact sheet
for each reason.
"""

from contextlib import suppress
from dataclasses import asdict
from functools import partial

from omegaconf import OmegaConf
from PIL import Image

from pipeline.images import survey
from pipeline.images.decode import Decoded, decode
from pipeline.images.layout import layout_of
from pipeline.images.manifest import (
    gate,
    judge,
    refuse_bad,
    refuse_empty,
    refuse_strangers,
    within_limit,
    without_copies,
    write_manifest,
)
from pipeline.images.page import page, sheets, summarize, table
from pipeline.images.source import CHANGED, Source, open_source
from pipeline.running import cleaned, cli
from pipeline.running.errors import UserError
from pipeline.running.files import check_place, whole_folder, write_json


def main(cfg) -> None:
    check_place(cfg.paths.clean, "manifest.parquet")
    layout = layout_of(cfg.data)
    raw = open_source(cfg.source, layout)
    ids = within_limit(raw.places, cfg.limit, cfg.limit_seed)
    refuse_strangers(raw.ids(), allow=cfg.data.allow, deny=cfg.data.deny)
    looks, near = OmegaConf.to_container(cfg.looks), OmegaConf.to_container(cfg.near)
    with survey.survey(raw, ids, looks, cfg.shard, cfg.paths.cache) as (known, prints):
        manifest = judge(known, prints, cfg.blank_spread, near, cfg.data.allow, cfg.data.deny, layout.of_train)
        if layout.valid_share:
            manifest = without_copies(manifest, cfg.data.allow)
        refuse_bad(manifest, cfg.data.max_bad_share, cfg.source)
        manifest = gate(manifest, prints, near, cfg.data.allow, cfg.source)
        refuse_empty(manifest, cfg.source)
        summary = {"name": cfg.data.name, "source": str(cfg.source), "root": raw.root, "limit": cfg.limit}
        summary |= {"layout": asdict(layout)}
        summary |= {"allow": list(cfg.data.allow), "deny": list(cfg.data.deny), "digest": cleaned.digest(manifest)}
        summary |= summarize(manifest)
        pictures = sheets(manifest, partial(shown, raw, looks["max_pixels"]), **cfg.sheet)
        with whole_folder(cfg.paths.clean, "manifest.parquet") as folder:
            write_manifest(folder / "manifest.parquet", manifest, cfg.data.name)
            write_json(folder / "summary.json", summary)
            (folder / "report.html").write_text(page(summary, manifest, pictures), encoding="utf-8")
            for name, picture in pictures.items():
                picture.save(folder / f"{name}.png")
    print(table(summary))
    if layout.valid_share:
        print(f"  valid: it had none; {layout.valid_share:g} of train was drawn for it (data.layout.valid_share)")
    for link in raw.links():
        print(f"  {link} is a link: dvc repro does not see changes behind it; use dvc repro -f or a .zip")


def shown(raw: Source, max_pixels: int, id: str) -> Image.Image:
    """An image that could be decoded before; UserError if it can't be now."""
    with suppress(OSError):
        found = decode(raw.read(id), max_pixels)
        if isinstance(found, Decoded):
            return found.image
    raise UserError(CHANGED.format(path=raw.path, id=id))


if __name__ == "__main__":
    cli.run("clean")
