"""What a training is made of: arrays, batches, augmentation, architectures, the fit and its checkpoints."""
