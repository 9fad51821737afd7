"""Say what is wrong with any folder, .zip or .csv of faces, and fail if its train leaks into valid or test.

Reads the source as it is, without drawing a valid from train, but for what a person has allowed or denied by the data's
lists. Writes nothing but a cache, from which a run that was cut off goes on and which goes when it ends. Needs no
training and no cleaning before it.
"""

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from pipeline.images.layout import layout_of
from pipeline.images.leaks import leaks
from pipeline.images.manifest import judge, refuse_strangers, within_limit
from pipeline.images.page import summarize, table
from pipeline.images.source import open_source
from pipeline.images.survey import survey
from pipeline.running import cli
from pipeline.running.errors import UserError


def main(cfg) -> None:
    layout = layout_of(cfg.data)
    raw = open_source(cfg.source, layout)
    looks, near = OmegaConf.to_container(cfg.looks), OmegaConf.to_container(cfg.near)
    ids = within_limit(raw.places, cfg.limit, cfg.limit_seed)
    refuse_strangers(raw.ids(), allow=cfg.data.allow, deny=cfg.data.deny)
    with survey(raw, ids, looks, cfg.shard, cfg.paths.cache) as (known, prints):
        if layout.valid_share:
            known["split"] = known.split.replace("valid", "train")
        manifest = judge(known, prints, cfg.blank_spread, near, cfg.data.allow, cfg.data.deny, ["train"])
        pictures = manifest.sha256.notna().to_numpy() & ~manifest.reason.isin(["blank", "denied"]).to_numpy()
        missed = leaks(manifest[pictures], prints, near, cfg.data.allow, search=0)
        found = pd.concat([judged(manifest), missed]).drop_duplicates("id")
    print(table({"name": str(cfg.source), "root": raw.root} | summarize(manifest)))
    for leak in found.head(cfg.show).itertuples():
        print(f"  leak: {leak.id} shows the same as {leak.of} ({leak.kind}, {leak.similarity:.3f})")
    if len(found):
        exact = int((found.kind == "exact").sum())
        raise UserError(
            f"{cfg.source}: {len(found):,} images of train stand in valid or test too ({exact:,} exactly, "
            f"{len(found) - exact:,} nearly); python -m pipeline.clean leaves them out"
        )


def judged(manifest: pd.DataFrame) -> pd.DataFrame:
    """The images of train that `judge` took out as in valid or test too, as `leaks` says it: id, of, kind, similarity.

    It looks images of train up as well, and not only those of valid and test, so it finds some that `leaks` does not.
    """
    rows = manifest[manifest.reason.str.fullmatch("(near_)?duplicate_of_(valid|test)")]
    kinds = np.where(rows.reason.str.startswith("near"), "near", "exact")
    return rows[["id", "of", "similarity"]].assign(kind=kinds)


if __name__ == "__main__":
    cli.run("audit")
