"""The seven emotions: their public encoding, and what the folder of each is called in MMAFEDB.

The one home of label order. A class index anywhere in the project (arrays, model outputs, reports) is a position in
`LABELS`; folder names are looked up by name and never sorted, because the alphabetical order of the folders is a
different one (there, 4 is neutral; here, 4 is sadness).
"""

LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
ENCODINGS = {label: index for index, label in enumerate(LABELS)}

FOLDERS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
    "neutral": "neutral",
}

SPLITS = ("train", "valid", "test")
