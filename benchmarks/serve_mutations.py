"""Mutated pictures sent to the service: every answer has to be 200 or 4xx, and none may hang.

python benchmarks/serve_mutations.py --uploads 100000 --seed 0      # prints JSON: answers by status, the slowest

A drawn face as JPEG, PNG and WebP; of each upload some bytes are changed, cut out, repeated or put in, or its end is
missing. The exported model is `champion`, or what --exported names. What was found is kept in
.cache/serve_mutations_<seed>_<digest of the model's manifest>.json, so that the same command goes on after being cut
off; without that file, or with another model, it begins anew. failures: the numbers of uploads, the first hundred, that
got 5xx, no answer in a minute, or none at all.
"""

import argparse
import hashlib
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.running.files import write_json
from pipeline.running.progress import progress

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from serving.drawn import encoded, portrait  # noqa: E402
from serving.server import Client, Server  # noqa: E402

BLOCK = 500  # uploads between two notes of what was found


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to eight changes."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at, length = int(rng.integers(len(changed) + 1)), int(rng.integers(1, 64))
        kind = rng.integers(6)
        if kind == 0:
            changed[at : at + 1] = rng.bytes(1)
        elif kind == 1:
            changed[at : at + length] = b""
        elif kind == 2:
            changed[at:at] = changed[at : at + length]
        elif kind == 3:
            changed[at:at] = rng.bytes(length)
        elif kind == 4:
            changed[at : at + length] = bytes([int(rng.choice([0, 127, 128, 255]))]) * length
        else:
            del changed[max(1, at) :]
    return bytes(changed)


class Sender:
    """Sends numbered uploads; a number's bytes depend on the seed and on nothing else."""

    def __init__(self, url: str, seed: int):
        self.url, self.seed = url, seed
        self.originals = [encoded(portrait(side=side), kind) for side in (48, 96) for kind in ("JPEG", "PNG", "WEBP")]
        self.own = threading.local()  # a client for each thread

    def __call__(self, number: int) -> tuple[int, str, float]:
        """The number, its answer's status or the name of what there was instead of one, and seconds."""
        rng = np.random.default_rng((self.seed, number))
        data = mutated(self.originals[number % len(self.originals)], rng)
        if not hasattr(self.own, "client"):
            self.own.client = Client(self.url)
        started = time.perf_counter()
        status = self.own.client.ask(data)
        return number, status, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exported", type=Path, default=ROOT / "champion")
    parser.add_argument("--clients", type=int, default=4)
    arguments = parser.parse_args()
    model = hashlib.sha256((arguments.exported / "manifest.json").read_bytes()).hexdigest()[:12]
    kept = ROOT / f".cache/serve_mutations_{arguments.seed}_{model}.json"
    found = {"seed": arguments.seed, "uploads": 0, "statuses": {}, "failures": [], "slowest_s": 0.0}
    if kept.exists():
        found = json.loads(kept.read_text())
    left = range(found["uploads"], arguments.uploads)
    blocks = [left[at : at + BLOCK] for at in range(0, len(left), BLOCK)]
    with Server(arguments.exported) as server, ThreadPoolExecutor(arguments.clients) as pool:
        send = Sender(server.url, arguments.seed)
        for block in progress(blocks, len(left), "mutations", unit="uploads", step=BLOCK):
            answers = list(pool.map(send, block))
            if server.process.poll() is not None:
                sys.exit(
                    f"the service ended while uploads {block.start} to {block.stop - 1} were sent:\n{server.log()}"
                )
            for number, status, seconds in answers:
                found["statuses"][status] = found["statuses"].get(status, 0) + 1
                found["slowest_s"] = max(found["slowest_s"], round(seconds, 2))
                if status[0] not in "24" and len(found["failures"]) < 100:
                    found["failures"].append(number)
            found["uploads"] = block.stop
            write_json(kept, found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
