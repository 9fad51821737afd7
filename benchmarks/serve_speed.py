"""The service against the study's own design: time for one face, requests per second, start to ready, memory.

python benchmarks/serve_speed.py                     # prints JSON lines; about 5 minutes on two quiet cores

The study's design: FastAPI, a form field `file`, Pillow, a squeeze to 48x48, `keras.Model.predict` in the route, of
model_2_best with random weights. Here: pipeline.serve, which decodes, looks for faces and runs a LiteRT export, once of
the same network (`same`) and once of the shipped one (`shipped`). They take turns with 1, 8 and 32 clients; a ratio is
within one run.
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from serving.drawn import encoded, portrait  # noqa: E402
from serving.server import Client, Server  # noqa: E402

STUDY = """
import io, sys, keras, numpy as np, uvicorn
from fastapi import FastAPI, File, UploadFile
from PIL import Image
model, app = keras.models.load_model(sys.argv[1]), FastAPI()
@app.get("/health/ready")
async def ready(): return {}
@app.post("/api/predict")
async def predict(file: UploadFile = File(...)):
    image = Image.open(io.BytesIO(await file.read())).convert("RGB").resize((48, 48), Image.NEAREST)
    found = model.predict(np.asarray(image)[None], verbose=0)[0]
    return {"predicted_emotion": int(found.argmax()), "class_probabilities": found.tolist()}
model.predict(np.zeros((1, 48, 48, 3), np.uint8), verbose=0)
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


def export(folder: Path) -> Path:
    """model_2_best as Keras file and as exported folder, the latter returned."""
    from omegaconf import OmegaConf

    from pipeline.exporting import litert, savedmodel
    from pipeline.labels import LABELS
    from pipeline.learning import models

    model = models.build(OmegaConf.load(ROOT / "conf/model/model_2_best.yaml"), 48, 3)
    model.save(folder / "model.keras")
    savedmodel.save(model, folder / "saved")
    content, exported = litert.convert(folder / "saved", "float16", np.empty(0)), folder / "same"
    (exported / "litert").mkdir(parents=True)
    (exported / "litert/float16.tflite").write_bytes(content)
    about = {"model": "model_2_best", "version": 1, "labels": list(LABELS), "size": 48, "channels": 3,
             "temperature": 1.0, "threshold": 0.0, "precision": 0.5, "accuracy": {}, "f1_macro": {},
             "files": {"litert/float16.tflite": hashlib.sha256(content).hexdigest()}}  # fmt: skip
    (exported / "manifest.json").write_text(json.dumps(about))
    return exported


def one_face(keras_file: Path, exported: dict[str, Path], rounds: int) -> dict:
    """Median milliseconds of one 48x48 face by predict and by each LiteRT, in turn, warm, and their ratios."""
    import keras

    from pipeline.running.cores import cores
    from pipeline.serving.model import Model

    def asked(of: Callable, *shape: int) -> Callable:
        image = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
        return lambda: of(image)

    keras_model = keras.models.load_model(keras_file)
    sides = {"study": asked(lambda image: keras_model.predict(image, verbose=0), 48, 48, 3)}
    for name, folder in exported.items():
        model = Model(folder, [1], cores())
        sides[name] = asked(model.predict, *model.shape)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 3):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - started))
    found = {f"{name}_ms": round(statistics.median(each), 2) for name, each in times.items()}
    for name in exported:
        ratios = [slow / fast for slow, fast in zip(times["study"], times[name], strict=True)]
        found[f"{name}_ratio"] = round(statistics.median(ratios), 1)
    return found


def load(url: str, picture: bytes, clients: int, seconds: float) -> dict:
    """Requests per second and latencies with so many clients, each asking again as soon as it is answered."""
    times, errors, end = [], 0, time.monotonic() + seconds

    def ask() -> None:
        nonlocal errors
        client = Client(url)
        while time.monotonic() < end:
            started = time.perf_counter()
            status = client.ask(picture)
            times.append(time.perf_counter() - started)
            errors += status != "200"

    started = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p95, p99 = (round(1000 * float(np.quantile(times, q)), 1) for q in (0.5, 0.95, 0.99))
    rate = len(times) / (time.monotonic() - started)
    return {"requests_s": round(rate, 1), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "errors": errors}


class Study(Server):
    """The study's design as a server process."""

    patience = 300  # it imports TensorFlow

    def __init__(self, model: Path):
        super().__init__(model)
        self.command = [sys.executable, "-c", STUDY, str(model), str(self.port)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="of load for each side and number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=30, help="of one face")
    arguments = parser.parse_args()
    picture = encoded(portrait(side=112))
    with tempfile.TemporaryDirectory() as name, ExitStack() as servers:
        exported = {"same": export(Path(name)), "shipped": ROOT / "champion"}
        keras_file = Path(name, "model.keras")
        print(json.dumps({"what": "one face"} | one_face(keras_file, exported, arguments.rounds)), flush=True)
        sides, ready = {}, {}
        for side, folder in exported.items():
            started = time.monotonic()
            sides[side] = servers.enter_context(Server(folder, "limits.waiting=64"))
            ready[f"{side}_ready_s"] = round(time.monotonic() - started, 1)
        sides["study"] = servers.enter_context(Study(keras_file))
        for clients in arguments.clients:
            rates = {}
            for side, server in sides.items():
                found = load(server.url, picture, clients, arguments.seconds)
                rates[side] = found["requests_s"]
                print(json.dumps({"what": side, "clients": clients} | found), flush=True)
            ratios = {side: round(rates[side] / rates["study"], 1) for side in exported}
            print(json.dumps({"what": "ratio of requests", "clients": clients} | ratios), flush=True)
        used = {f"{side}_mib": round(server.memory("VmHWM")) for side, server in sides.items()}
        print(json.dumps({"what": "start to ready and memory"} | ready | used), flush=True)


if __name__ == "__main__":
    main()
