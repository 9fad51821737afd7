"""What the service's routes share, and how a request is answered from its bytes to its pictures' faces."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request

from pipeline.reporting.intervals import FEWEST, normal
from pipeline.running.cores import workers
from pipeline.serving import tensorflow_api
from pipeline.serving.desk import Desk
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import Model
from pipeline.serving.pictures import Unreadable, check_bytes
from pipeline.serving.upload import Body, Gate, Refusal, files, unless_gone
from pipeline.serving.watch import Watched


class Service:
    """What the routes share: the model in service, the desk, the gate and the metrics."""

    def __init__(self, settings: Mapping):
        self.settings, self.limits = settings, settings["limits"]
        self.metrics = Metrics()
        self.gate = Gate(self.limits, self.metrics)
        self.workers = workers(settings["workers"])
        folder = Path(settings["exported"])
        self.watched = Watched(folder, settings["batch_sizes"], self.workers, self.metrics)
        self.desk: Desk  # needs the event loop that it works on
        self.parsing = asyncio.Semaphore(self.workers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load what is needed, then watch the model's folder, until the end of `with`."""
        limits = self.limits
        largest = max(self.settings["batch_sizes"], default=1)
        faces = self.settings["faces"]
        self.desk = Desk(self.workers, limits["waiting"], faces, limits["pixels"], largest, self.metrics)
        await asyncio.gather(self.desk.warm_up(), self.watched.look())
        watching = asyncio.create_task(self.watched.watch(self.settings["poll_seconds"]))
        try:
            yield
        finally:
            watching.cancel()
            await self.desk.close()

    def model(self) -> Model:
        """The model in service; Refusal when there is none."""
        if self.watched.current is None:
            raise Refusal(503, "no_model", "There is no model to answer with yet; try again in 5 s.", retry=5)
        return self.watched.current

    async def answers(self, request: Request, body: Body) -> dict[str, Any]:
        """What POST /api/predict answers; all pictures of a request by one model."""
        model, found = self.model(), await files(request, body, self.limits, self.parsing)
        given = found["file"] or found["files"]
        with self.desk.admit(len(given)):
            if found["file"]:
                return await self._one(given[0], model)
            return {"pictures": await asyncio.gather(*(self._one_of_many(each, model) for each in given))}

    async def _one(self, data: bytes, model: Model) -> dict[str, Any]:
        try:
            check_bytes(data, self.limits["file_bytes"])
            return await self.desk.answer(data, model)
        except Unreadable as error:
            self.metrics.refused.labels(error.reason).inc()
            raise

    async def _one_of_many(self, data: bytes, model: Model) -> dict[str, Any]:
        try:
            return await self._one(data, model)
        except Unreadable as error:
            return problem(error)

    async def rows(self, body: Body, model: Model) -> dict[str, Any]:
        """What TensorFlow Serving's predict answers."""
        most = self.limits["instances"]
        with self.desk.admit(1):
            text = b"".join(body.pieces())
            images, key = await self.desk.in_thread(tensorflow_api.images_of, text, model.shape, most)
            return {key: (await self.desk.predict(images, model.raw)).tolist()}

    async def within_limits(self, request: Request, work) -> dict[str, Any]:
        """`work(body)` once the body is there, unless the client leaves or it takes too long."""
        async with self.gate.body(request) as body:
            return await unless_gone(request, asyncio.ensure_future(work(body)), self.limits["answer_seconds"])

    def about(self) -> dict[str, Any]:
        """What GET /api/about answers."""
        about = self.model().about
        told = ("model", "version", "labels", "threshold", "precision", "accuracy", "f1_macro", "answers", "caution")
        confidence = self.settings["confidence"]
        lead = {"confidence": confidence, "normal": normal(confidence), "fewest": FEWEST}
        limits = {key: self.limits[key] for key in ("upload_bytes", "file_bytes", "files", "pixels")}
        return {key: about[key] for key in told} | {"lead": lead, "limits": limits}


def problem(error: Unreadable) -> dict[str, str]:
    """A picture that can't be read, as its answer."""
    return {"error": str(error), "code": error.reason}
