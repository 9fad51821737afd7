"""What an exported model's files are called, and it and its tensors on a server.

Imports nothing: the service has no TensorFlow.
"""

MANIFEST = "manifest.json"

MODEL = "emotion"
INPUT = "image"
OUTPUT = "probabilities"
SIGNATURE = "serving_default"


def litert(precision: str) -> str:
    """The LiteRT file of that precision, from the export's folder."""
    return f"litert/{precision}.tflite"
