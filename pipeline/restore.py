"""Make the Keras model of an exported one again, from its LiteRT file: champion/ as a model.keras to go on with.

The model says what the exported one says, which is checked; that stores its weights as float16. For prediction,
inspection and fine-tuning (+experiment=finetune of train). What normalises batches is folded into the layers beside it;
a training that goes on from it measures that on its own images.
"""

import logging
from pathlib import Path

from omegaconf import DictConfig

from pipeline.exporting import names
from pipeline.exporting.restored import difference, restored
from pipeline.learning import models
from pipeline.running import cli
from pipeline.running.errors import UserError
from pipeline.running.files import whole_file
from pipeline.serving import model as exported

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    folder, output = Path(cfg.exported), Path(cfg.output)
    if output.suffix != ".keras":
        raise UserError(f"output={output}: expected a name that ends in .keras")
    about, _ = exported.read(folder)
    if "architecture" not in about:
        raise UserError(f"{folder / names.MANIFEST}: no architecture in it; export the run again")
    file = folder / exported.FILE
    model = restored(file, about["architecture"], about["size"], about["channels"])
    apart = difference(model, file)
    if not apart <= cfg.tolerance:
        raise UserError(f"{file}: its Keras model differs by {apart:.2g} of a probability; nothing was written")
    known = {key: about[key] for key in ("train_digest", "caution")} if "train_digest" in about else None
    with whole_file(output) as beside:
        models.save(model, beside, known)
    log.info("%s: %s, within %.1g of a probability of %s", output, about["run"], apart, file)


if __name__ == "__main__":
    cli.run("restore")
