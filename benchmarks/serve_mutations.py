"""Mutated pictures sent to the service: every answer has to be 200 or 4xx, and none may hang.

python benchmarks/serve_mutations.py --uploads 100000 --seed 0      # prints JSON: answers by status, the slowest

A drawn face as JPEG, PNG and WebP; of each upload some bytes are changed, cut out, repeated or put in, or its end is
missing. The exported model is `champion`, or what --exported names.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

from pipeline.running.progress import progress

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from serving.drawn import encoded, portrait  # noqa: E402
from serving.server import Server  # noqa: E402


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exported", type=Path, default=ROOT / "champion")
    parser.add_argument("--clients", type=int, default=4)
    arguments = parser.parse_args()
    seeds = [encoded(portrait(side=side), kind) for side in (48, 96) for kind in ("JPEG", "PNG", "WEBP")]
    statuses: Counter = Counter()
    slowest, turn = 0.0, threading.Lock()
    with Server(arguments.exported) as server:
        numbers = iter(progress(range(arguments.uploads), arguments.uploads, "mutations", unit="uploads"))

        def send() -> None:
            nonlocal slowest
            with httpx.Client(timeout=60) as client:
                while True:
                    with turn:
                        number = next(numbers, None)
                    if number is None:
                        return
                    rng = np.random.default_rng((arguments.seed, number))
                    data = mutated(seeds[number % len(seeds)], rng)
                    started = time.perf_counter()
                    status = client.post(f"{server.url}/api/predict", files={"file": ("a", data)}).status_code
                    with turn:
                        statuses[status] += 1
                        slowest = max(slowest, time.perf_counter() - started)

        threads = [threading.Thread(target=send) for _ in range(arguments.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alive = server.process.poll() is None
    print(json.dumps({"uploads": arguments.uploads, "seed": arguments.seed, "statuses": dict(sorted(statuses.items())),
                      "server_errors": sum(n for status, n in statuses.items() if status >= 500),
                      "slowest_s": round(slowest, 2), "alive": alive}))  # fmt: skip


if __name__ == "__main__":
    main()
