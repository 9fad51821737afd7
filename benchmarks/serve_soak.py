"""The service under a steady load: no error, and memory that stays.

python benchmarks/serve_soak.py --seconds 600        # prints JSON; ten minutes and half a minute for the capacity

First the capacity: so many clients, each asking again as soon as it is answered. Then requests at 80 % of that rate,
each sent when it is due whether or not those before are answered, as long as fewer than 32 are: 32 threads send, and
one that is late sends late. A latency counts from when it was due. The pictures are the page's samples and a small
portrait, in turn. Memory is the service's resident set once a second; its mean in the second tenth of the time is
compared with that in the last. The clients share the machine with the service, so the capacity is of both.
"""

import argparse
import itertools
import json
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from pipeline.running.progress import progress

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from serving.drawn import SAMPLES, encoded, portrait  # noqa: E402
from serving.server import Client, Server  # noqa: E402

SHARE = 0.8  # of the capacity
CAPACITY_SECONDS = 30
SENDERS = 32  # of the steady load; many more would find no place (limits.waiting)


class Load:
    """Threads that send the pictures in turn for so many seconds: at `rate` a second, or as fast as answers come."""

    def __init__(self, url: str, pictures: list[bytes], clients: int, seconds: float, rate: float | None):
        self.url, self.pictures, self.seconds, self.rate = url, pictures, seconds, rate
        self.latencies: list[float] = []
        self.answers: Counter = Counter()
        self._numbers = itertools.count()  # its next() is atomic
        self._started = time.monotonic()
        self.threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _send(self) -> None:
        client = Client(self.url)
        while True:
            number = next(self._numbers)
            due = self._started + number / self.rate if self.rate else time.monotonic()
            if due > self._started + self.seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            self.answers[client.ask(self.pictures[number % len(self.pictures)])] += 1
            self.latencies.append(time.monotonic() - due)

    def ended(self) -> "Load":
        """Once every request is answered."""
        for thread in self.threads:
            thread.join()
        self.took = time.monotonic() - self._started
        return self


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--exported", type=Path, default=ROOT / "champion")
    parser.add_argument("--clients", type=int, default=8, help="that the capacity is measured with")
    arguments = parser.parse_args()
    pictures = [(SAMPLES / name).read_bytes() for name in ("three.jpg", "portrait.jpg", "audience.jpg", "empty.jpg")]
    pictures.append(encoded(portrait(side=112)))
    with Server(arguments.exported) as server:
        full = Load(server.url, pictures, arguments.clients, CAPACITY_SECONDS, None).ended()
        capacity = len(full.latencies) / full.took
        print(json.dumps({"capacity_requests_s": round(capacity, 1), "answers": full.answers}), flush=True)
        load = Load(server.url, pictures, SENDERS, arguments.seconds, SHARE * capacity)
        memory = []
        for _ in progress(range(arguments.seconds), arguments.seconds, "soak", unit="s"):
            time.sleep(1)
            memory.append(server.memory("VmRSS"))
        load.ended()
    tenth = max(1, arguments.seconds // 10)
    first, last = statistics.fmean(memory[tenth : 2 * tenth]), statistics.fmean(memory[-tenth:])
    p50, p95, p99 = (round(1000 * float(np.quantile(load.latencies, q))) for q in (0.5, 0.95, 0.99))
    print(json.dumps({"seconds": arguments.seconds, "requests_s": round(len(load.latencies) / load.took, 1),
                      "answers": load.answers, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
                      "memory_mib": [round(first), round(last)],
                      "memory_change_percent": round(100 * (last / first - 1), 1)}))  # fmt: skip


if __name__ == "__main__":
    main()
