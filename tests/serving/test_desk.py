"""The desk: who is let in, and what is run together."""

import asyncio

import numpy as np
import pytest

from pipeline.serving.desk import Busy, Desk
from pipeline.serving.metrics import Metrics


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
            with pytest.raises(Busy):
                desk.admit(2)
            with desk.admit(1), pytest.raises(Busy):
                desk.admit(1)
        with desk.admit(3):
            return desk.inside

    assert at_a_desk(face_settings, 3, use) == 3
