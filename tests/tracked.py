"""What a training notes of a run in MLflow, as far as ranking and comparing read it."""

# Parameters and tags of a run; a test says on top of them what is its own.
PARAMS = {
    "model.name": "m",
    "optimizer.name": "sgd",
    "channels.name": "rgb",
    "batch_size": "8",
    "data.name": "sample",
    "augment.name": "study",
    "balance.name": "none",
    "epochs": "2",
    "seed": "0",
}
TAGS = {
    "config_hash": "c0ffee",
    "train_digest": "t",
    "valid_digest": "v",
    "valid_set": "v",
    "train_images": "70",
    "valid_images": "70",
    "image_size": "48",
    "parameters": "14261319",
    "command": "python -m pipeline.train ...",
}
