"""Row 39 of the faults: the time after which it is worth coming again."""

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.serving import desk, pictures
from pipeline.serving.metrics import Metrics

WORKERS, WAITING, LOOK, READ = 2, 20, 0.1, 0.02  # seconds of a picture on a thread, and on the model's


def test_row_39_the_time_told_is_about_what_the_queue_takes(face_settings, monkeypatch):
    def look(self, data, shape):
        time.sleep(LOOK)
        return SimpleNamespace(faces=[None], crops=np.zeros((1, 2)))

    def predict(crops):
        time.sleep(READ * len(crops))
        return crops

    monkeypatch.setattr(desk.Desk, "_look", look)
    monkeypatch.setattr(pictures, "describe", lambda *_: {})
    model = SimpleNamespace(shape=None, predict=predict)

    async def told() -> tuple[int, float]:
        at = desk.Desk(WORKERS, WAITING, face_settings, 10**6, 4, Metrics())

        async def ask():
            with at.admit(1):
                await at.answer(b"", model)

        for _ in range(2):  # so that the wait of the first has been seen
            started = time.perf_counter()
            asked = [asyncio.create_task(ask()) for _ in range(WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(desk.Busy) as busy:
                at.admit(1)
            await asyncio.gather(*asked)
        took = time.perf_counter() - started
        await at.close()
        return busy.value.seconds, took

    seconds, took = asyncio.run(told())
    assert WAITING * LOOK / WORKERS <= seconds < 2 * took + 1
