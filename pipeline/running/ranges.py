"""The range of each number of conf/, and the words that may stand where only some do."""

from fnmatch import fnmatch
from functools import cache

from pipeline.images.layout import UNREAD
from pipeline.labels import LABELS, SPLITS

COUNT = (1, None)
MAYBE_NONE = (0, None)
SHARE = (0.0, 1.0)
AT_LEAST_0 = (0.0, None)
SECONDS = (0.001, 86_400.0)
DEGREES = (0.0, 180.0)
SEED = (0, 2**31 - 1)
PIXELS = (1, 178_956_970)  # of a picture; more are refused by Pillow, as a decompression bomb

# From and to which a value makes sense, whole numbers where the first is one; a third entry is a word that may stand
# for a number. A name is its path in the config with the group first, `*` any part of it; the first that fits counts.
# In a list it holds for each entry. A set holds all that a value may be.
RANGES: dict[str, tuple | set] = {
    # every step
    "*seed": SEED,
    "workers": (1, 10_000, "auto"),
    "confidence": (0.5, 0.9999),
    "batch_size": COUNT,
    "shard": COUNT,
    "size": (1, 10_000),
    "image_size": (1, 10_000),
    "top": COUNT,
    "bottom": MAYBE_NONE,
    "show": MAYBE_NONE,
    "tile": (8, 10_000),
    # draw
    "images.*": MAYBE_NONE,
    "identities.*": COUNT,
    "shares.*": SHARE,
    "emotions.*": (0.0, 2.0),
    "expression.*": (0.0, 10.0),
    "view.yaw": (0.0, 80.0),  # from the side there is nothing of this face to draw
    "view.pitch": (0.0, 80.0),
    "view.zoom": (0.05, 2.0),
    "view.elevation": (-90.0, 90.0),
    **{f"view.{key}": SHARE for key in ("shift", "ambient", "gaze")},
    "view.*": DEGREES,
    "camera.supersampling": (1, 16),
    "camera.size": (16, 10_000),
    "camera.quality": (1, 100),
    "dark.quality": (1, 100),
    "*_share": SHARE,
    "camera.*": (0.0, 255.0),
    "dark.*": (0.0, 255.0),
    "dirt.*": MAYBE_NONE,
    # clean
    "limit": (7, None, "all"),  # one image of each emotion
    "looks.max_pixels": PIXELS,
    "looks.max_*": COUNT,
    "looks.gray_tolerance": (0, 255),
    "looks.crops": (0.0, 0.45),
    "looks.placeholder.entropy": (0.0, 8.0),
    "looks.placeholder.contrast": (0.0, 255.0),
    "looks.placeholder.votes": (0, 100),
    "looks.placeholder.*": SHARE,
    "blank_spread": (0, 255),
    "near.similarity": SHARE,
    "near.spare_bits": MAYBE_NONE,
    "near.flips": (0, 16),  # an image is looked up under two to the power of it keys
    "near.*": COUNT,
    "sheet.images": (1, 1000),
    "sheet.tile": (8, 256),
    "sheet.columns": (1, 100),
    "data.max_bad_share": SHARE,
    "data.layout.splits.*": set(SPLITS),
    "data.layout.folders.*": {*LABELS, UNREAD},
    # resize, balance, train
    "channels.count": {1, 3},
    "balance.per_class": COUNT,
    **{
        f"{group}.{key}": bounds
        for group in ("augment", "generate")
        for key, bounds in {
            "rotation": DEGREES,
            "shift": SHARE,
            "shear": (0.0, 89.0),
            "zoom": (0.0, 0.99),
            "brightness": SHARE,
            "contrast": SHARE,
            "erase": SHARE,
        }.items()
    },
    "augment.mixup": (0.0, 100.0),
    "epochs": COUNT,
    "label_smoothing": (0.0, 0.99),
    "teacher_share": SHARE,
    "precision": {"float32", "mixed_bfloat16"},
    "monitor": {"val_accuracy", "val_loss"},
    "optimizer.build.learning_rate": AT_LEAST_0,
    "optimizer.build.beta_?": SHARE,
    "optimizer.build.rho": SHARE,
    "optimizer.build.*momentum": SHARE,
    "optimizer.build.weight_decay": AT_LEAST_0,
    "optimizer.schedule.warmup_epochs": MAYBE_NONE,
    "model.build.smooth": SHARE,
    "model.build.crop": MAYBE_NONE,
    "model.build.stem": COUNT,
    "model.build.squeeze_ratio": COUNT,
    "model.build.dropout": (0.0, 0.99),
    # evaluate, compare, suspect
    "one_by_one": COUNT,
    "resamples": COUNT,
    "brightness.*": (0.0, 256.0),
    "calibration.precision": SHARE,
    "bins": COUNT,
    "folds": (2, None),
    "model.components": COUNT,
    "model.hidden": COUNT,
    "model.steps": COUNT,
    "model.batch_size": COUNT,
    "model.learning_rate": (1e-9, None),
    "model.weight_decay": AT_LEAST_0,
    # measure, contrast, promote, export, restore, report
    "split": set(SPLITS),
    "questions": COUNT,
    "margin": SHARE,
    "calibration.images": COUNT,
    "warm_up": COUNT,
    "parity.*": SHARE,
    "tolerance": SHARE,
    "faces": MAYBE_NONE,
    # serve, analyze
    "port": (1, 65_535),
    "batch_sizes": COUNT,
    "block_seconds": COUNT,
    "*_seconds": SECONDS,
    "limits.pixels": PIXELS,
    "limits.*": COUNT,
    "frames_per_second": (0.01, 60.0),
    "faces_shown": MAYBE_NONE,
    "same_picture": SHARE,
    "ads_shown": COUNT,
    "faces.threshold": (0.01, 0.99),
    "faces.overlap": (0.01, 0.99),
    "faces.short_side": (48, 10_000),
    "faces.tile_from": (48, 1_000_000),
    "faces.tile": (0.05, 1.0),
    "faces.tile_step": (0.05, 1.0),
    "faces.strip": (2.0, 1000.0),
    "faces.strip_step": (0.05, 1.0),
    "faces.aspect": (1.0, 1000.0),
    "faces.crop.aspect": (1.0, 1000.0),
    "faces.crop.fills": (0.01, 1.0),
    "faces.crop.long_side": (0, 10_000),
    "faces.crop.hint": (0.01, 0.99),
    "faces.crop.border": (0.0, 5.0),
    "faces.crop.threshold": (0.01, 0.99),
    "faces.frame.margin": (0.0, 5.0),
    "faces.frame.lift": (-1.0, 1.0),
    "faces.max_tiles": (1, 10_000),
    "faces.smallest": (1, 10_000),
    "faces.most": (1, 10_000),
}


@cache
def range_of(name: str) -> tuple | set | None:
    """The entry of RANGES for a value's path, such as `faces.crop.hint`."""
    return next((bounds for pattern, bounds in RANGES.items() if fnmatch(name, pattern)), None)
