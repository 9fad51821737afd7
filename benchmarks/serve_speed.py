"""The service against the study's own design: time for one face, requests per second, start to ready, memory.

python benchmarks/serve_speed.py                     # prints JSON lines; about 5 minutes on two quiet cores

Both serve the same network, model_2_best with random weights, over HTTP on this machine. The study's design: FastAPI, a
form field `file`, Pillow, a squeeze to 48x48, `keras.Model.predict` in the route. Here: pipeline.serve, which decodes,
looks for faces and runs the LiteRT export. The sides take turns with 1, 8 and 32 clients; a ratio is within one run.
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import threading
import time
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
    import tensorflow as tf
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from pipeline.labels import LABELS

    build = OmegaConf.load(ROOT / "conf/model/model_2_best.yaml").build
    model = instantiate(build, size=48, channels=3, _convert_="all")
    model.save(folder / "model.keras")
    model.export(folder / "saved", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    content, exported = converter.convert(), folder / "champion"
    (exported / "litert").mkdir(parents=True)
    (exported / "litert/float16.tflite").write_bytes(content)
    about = {"model": "model_2_best", "version": 1, "labels": list(LABELS), "size": 48, "channels": 3,
             "temperature": 1.0, "threshold": None, "precision": None, "accuracy": {}, "f1_macro": {},
             "files": {"litert/float16.tflite": hashlib.sha256(content).hexdigest()}}  # fmt: skip
    (exported / "manifest.json").write_text(json.dumps(about))
    return exported


def one_face(folder: Path, exported: Path, rounds: int) -> dict:
    """Median milliseconds of one 48x48 face by predict and by LiteRT, in turn, warm."""
    import keras

    from pipeline.running.cores import cores
    from pipeline.serving.model import Model

    image = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3), np.uint8)
    keras_model, litert = keras.models.load_model(folder / "model.keras"), Model(exported, [1], cores())
    sides = {"keras": lambda: keras_model.predict(image, verbose=0), "litert": lambda: litert.predict(image)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 3):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - started))
    ratio = statistics.median(slow / fast for slow, fast in zip(times["keras"], times["litert"], strict=True))
    return {f"{name}_ms": round(statistics.median(each), 2) for name, each in times.items()} | {
        "ratio": round(ratio, 1)
    }


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


def memory(pid: int) -> float:
    """Highest resident memory so far, MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exported = export(folder)
        print(json.dumps({"what": "one face"} | one_face(folder, exported, arguments.rounds)), flush=True)
        started = time.monotonic()
        with Server(exported, "limits.waiting=64") as ours:
            ready = time.monotonic() - started
            with Study(folder / "model.keras") as study:
                for clients in arguments.clients:
                    sides = {}
                    for side, server in (("study", study), ("service", ours)):
                        sides[side] = load(server.url, picture, clients, arguments.seconds)
                        print(json.dumps({"what": side, "clients": clients} | sides[side]), flush=True)
                    ratio = sides["service"]["requests_s"] / sides["study"]["requests_s"]
                    print(json.dumps({"what": "ratio", "clients": clients, "requests": round(ratio, 1)}), flush=True)
                used = {"service_mib": memory(ours.process.pid), "study_mib": memory(study.process.pid)}
            print(json.dumps({"what": "start to ready and memory", "ready_s": round(ready, 1)} | used), flush=True)


if __name__ == "__main__":
    main()
