"""Where pictures wait and are worked on: threads that decode and look for faces, one that runs the model.

The event loop only hands work out, so that health answers while every core is busy. What waits is bounded: a picture
over the bound is refused at once, with the time after which it is worth coming again.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from pipeline.images.decode import is_animated
from pipeline.labels import LABELS
from pipeline.serving import pictures
from pipeline.serving.faces import Detectors
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import Model
from pipeline.serving.upload import Refusal


class Desk:
    """Takes pictures in, at most `waiting` at a time, and gives answers. Made and used on one event loop."""

    def __init__(self, workers: int, waiting: int, faces: Mapping, pixels: int, largest_batch: int, metrics: Metrics):
        self.workers, self.waiting, self.pixels, self.metrics = workers, waiting, pixels, metrics
        self.detectors, self.largest_batch = Detectors(faces), largest_batch
        self.inside = 0
        self._looking, self._reading = 0.1, 0.0  # seconds that a picture lately took a thread, and took the model
        self._lookers, self._free = ThreadPoolExecutor(workers, "look"), asyncio.Semaphore(workers)
        self._model_thread = ThreadPoolExecutor(1, "model")
        self._crops: asyncio.Queue = asyncio.Queue()
        self._batching = asyncio.create_task(self._run_batches())

    async def close(self) -> None:
        """Stop the threads once what they are at is done."""
        self._batching.cancel()
        await asyncio.to_thread(self._lookers.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._model_thread.shutdown, cancel_futures=True)

    async def warm_up(self) -> None:
        """Have every looking thread load its detector before the first picture comes."""
        together = threading.Barrier(self.workers)
        jobs = [self.in_thread(lambda: (self.detectors.own, together.wait(60))) for _ in range(self.workers)]
        await asyncio.gather(*jobs)

    @contextmanager
    def admit(self, count: int) -> Iterator[None]:
        """Places for so many pictures while in `with`; Refusal when there are not as many."""
        if self.inside + count > self.waiting:
            seconds = max(1, math.ceil(self.inside * (self._looking / self.workers + self._reading)))
            raise Refusal(503, "busy", f"Too many pictures are waiting; try again in {seconds} s.", retry=seconds)
        self._count(count)
        try:
            yield
        finally:
            self._count(-count)

    def _count(self, change: int) -> None:
        self.inside += change
        self.metrics.waiting.set(self.inside)

    async def answer(self, data: bytes, model: Model) -> dict[str, Any]:
        """What `pictures.describe` says of a picture, all of it by `model`; Unreadable when it is none."""
        seen, seconds = await self.in_thread(_timed, self._look, data, model.shape)
        self._looking += 0.1 * (seconds - self._looking)
        probabilities = await self.predict(seen.crops, model.predict)
        self.metrics.faces.inc(len(seen.faces))
        return pictures.describe(seen, probabilities, model)

    async def predict(self, crops: np.ndarray, how: Callable) -> np.ndarray:
        """`how` (a model's `predict` or `raw`) of the crops, in one batch with others that wait for the same."""
        if not len(crops):
            return np.empty((0, len(LABELS)))
        done = asyncio.get_running_loop().create_future()
        self._crops.put_nowait((how, crops, done))
        return await done

    def _look(self, data: bytes, shape: tuple[int, int, int]) -> pictures.Seen:
        decoded = pictures.open_picture(data, self.pixels)
        animated = is_animated(decoded.frames, decoded.format)
        return pictures.look(decoded.rgb, self.detectors.own, shape, animated, decoded.orientation)

    async def in_thread(self, job: Callable, *arguments: Any) -> Any:
        """`job(*arguments)` off the event loop, once a thread is free.

        Until then nothing but the caller holds what it is given: in the threads' own queue pictures would stay in
        memory after their clients have left.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        future = self._lookers.submit(job, *arguments)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._free.release))  # not when its client leaves
        return await asyncio.wrap_future(future)

    async def _run_batches(self) -> None:
        """Take what waits, as long as it is for one model and not more than a batch, and run it; for ever."""
        left = None
        while True:
            first = left or await self._crops.get()
            batch, left = [first], None
            while not self._crops.empty() and sum(len(each[1]) for each in batch) < self.largest_batch:
                left = self._crops.get_nowait()
                if left[0] != first[0]:
                    break
                batch.append(left)
                left = None
            batch = [each for each in batch if not each[2].cancelled()]
            if batch:
                await self._run_batch(first[0], batch)

    async def _run_batch(self, how: Callable, batch: list[tuple]) -> None:
        try:  # all of it: what goes wrong outside of it would end the batching for good
            crops = np.concatenate([each[1] for each in batch])
            self.metrics.batch.observe(len(crops))
            loop = asyncio.get_running_loop()
            result, seconds = await loop.run_in_executor(self._model_thread, _timed, how, crops)
        except Exception as error:
            for *_, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        self._reading += 0.1 * (seconds / len(batch) - self._reading)
        start = 0
        for _, own, done in batch:
            if not done.done():  # else its client has left
                done.set_result(result[start : start + len(own)])
            start += len(own)


def _timed(job: Callable, *arguments: Any) -> tuple[Any, float]:
    """What `job` gives and the seconds that it took, its wait for a thread not among them."""
    started = time.perf_counter()
    return job(*arguments), time.perf_counter() - started
