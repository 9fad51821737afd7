"""The desk: who is let in, what is run together, and what those that are not let in are told."""

import asyncio
import gc
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.serving import desk, pictures
from pipeline.serving.desk import Desk
from pipeline.serving.metrics import Metrics
from pipeline.serving.upload import Refusal

WORKERS, WAITING, LOOK, READ = 2, 20, 0.1, 0.02  # seconds of a picture on a thread, and on the model's


def at_a_desk(face_settings, waiting, use):
    """What `use(desk)` gives at a desk with so many places."""

    async def used():
        desk = Desk(1, waiting, face_settings, 10**6, 4, Metrics())
        try:
            return await use(desk)
        finally:
            await desk.close()

    return asyncio.run(used())


def test_requests_that_wait_together_are_answered_each_by_its_own_model(face_settings):
    crops = np.zeros((2, 48, 48, 3), np.uint8)

    def old(images):
        return np.full((len(images), 7), 1)

    def new(images):
        return np.full((len(images), 7), 2)

    async def use(desk):
        return await asyncio.gather(*(desk.predict(crops, how) for how in (old, new, new, old)))

    assert [answer.tolist() for answer in at_a_desk(face_settings, 9, use)] == [[[n] * 7] * 2 for n in (1, 2, 2, 1)]


def test_a_request_with_more_pictures_than_places_are_free_is_not_let_in(face_settings):
    async def use(desk):
        with desk.admit(2):
            with pytest.raises(Refusal), desk.admit(2):
                pass
            with desk.admit(1), pytest.raises(Refusal), desk.admit(1):
                pass
        with desk.admit(3):
            return desk.inside

    assert at_a_desk(face_settings, 3, use) == 3


def test_row_35_of_a_client_that_left_nothing_waits_for_a_thread(face_settings):
    class Picture:
        pass

    async def use(desk):
        end, model = threading.Event(), SimpleNamespace(shape=None)
        busy = asyncio.create_task(desk.in_thread(end.wait))
        await asyncio.sleep(0.05)
        data = Picture()
        sent = weakref.ref(data)
        asked = asyncio.create_task(desk.answer(data, model))
        del data
        await asyncio.sleep(0.05)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        del asked
        await asyncio.sleep(0.05)  # the loop forgets the task
        gc.collect()
        left = sent()
        end.set()
        return left, await busy, await desk.in_thread(lambda: "the thread is free again")

    assert at_a_desk(face_settings, 9, use) == (None, True, "the thread is free again")


def test_a_picture_without_a_face_does_not_queue_again(face_settings):
    async def use(desk):
        end = threading.Event()
        busy = asyncio.create_task(desk.in_thread(end.wait))
        await asyncio.sleep(0.05)
        found = await asyncio.wait_for(desk.predict(np.zeros((0, 48, 48, 3), np.uint8), None), 5)
        end.set()
        await busy
        return found.shape

    assert at_a_desk(face_settings, 9, use) == (0, 7)


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

        took = 0.0
        for _ in range(2):  # so that the wait of the first has been seen
            started = time.perf_counter()
            asked = [asyncio.create_task(ask()) for _ in range(WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(Refusal) as busy, at.admit(1):
                pass
            await asyncio.gather(*asked)
            took = max(took, time.perf_counter() - started)
        await at.close()
        return busy.value.retry, took

    seconds, took = asyncio.run(told())
    assert WAITING * LOOK / WORKERS <= seconds < 2 * took + 1
