"""What an exported model and its tensors are called on a server. Imports nothing: the service has no TensorFlow."""

MODEL = "emotion"
INPUT = "image"
OUTPUT = "probabilities"
SIGNATURE = "serving_default"
