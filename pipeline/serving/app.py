"""The service's routes: the page, the study's API, TensorFlow Serving's REST API, health, metrics.

Stateless: a picture is in memory until its answer and nowhere else, and no answer holds anything that was sent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from pipeline.running.cores import cores
from pipeline.serving import schema, tensorflow_api
from pipeline.serving.desk import Busy, Desk
from pipeline.serving.front import Front
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import Model
from pipeline.serving.pictures import WHY_NOT, Unreadable
from pipeline.serving.upload import Gate, Gone, Refusal, files, unless_gone
from pipeline.serving.watch import Watched

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": schema.Problem, "description": "The request can't be read."},
    403: {"model": schema.Problem, "description": "Sent by a page of another origin."},
    408: {"model": schema.Problem, "description": "The upload took too long."},
    413: {"model": schema.Problem, "description": "Too large, in bytes or pixels."},
    415: {"model": schema.Problem, "description": "Not a picture that can be read, or no form."},
    422: {"model": schema.Problem, "description": "Empty or damaged, or not in the field expected."},
    503: {"model": schema.Problem, "description": "No model yet, or too much to do; see Retry-After."},
}
_FILE = {"type": "string", "format": "binary"}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "oneOf": [
                        {"type": "object", "properties": {"file": _FILE}, "required": ["file"]},
                        {"type": "object", "properties": {"files": {"type": "array", "items": _FILE, "minItems": 1}},
                         "required": ["files"]},
                    ]
                }
            }
        },
    }
}  # fmt: skip
_IMAGE = {"type": "array", "description": "size x size x channels whole numbers from 0 to 255", "items": {}}
ROWS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"instances": {"type": "array", "items": _IMAGE, "minItems": 1}},
                    "required": ["instances"],
                }
            }
        },
    }
}


class Service:
    """What the routes share: the model in service, the desk, the gate and the metrics."""

    def __init__(self, settings: Mapping):
        self.settings, self.limits = settings, settings["limits"]
        self.metrics = Metrics()
        self.gate = Gate(self.limits, self.metrics)
        self.workers = cores() if settings["workers"] == "auto" else settings["workers"]
        folder = Path(settings["exported"])
        self.watched = Watched(folder, settings["batch_sizes"], self.workers, self.metrics)
        self.desk: Desk  # needs the event loop that it works on

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load what is needed, then watch the model's folder, until the end of `with`."""
        limits = self.limits
        largest = max(self.settings["batch_sizes"])
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

    async def answers(self, request: Request, body: bytes) -> dict[str, Any]:
        """What POST /api/predict answers; all pictures of a request by one model."""
        model, found = self.model(), await files(request, body, self.limits)
        given = found["file"] or found["files"]
        with self.desk.admit(len(given)):
            if found["file"]:
                return await self._one(given[0], model)
            return {"pictures": await asyncio.gather(*(self._one_of_many(each, model) for each in given))}

    async def _one(self, data: bytes, model: Model) -> dict[str, Any]:
        try:
            if len(data) > self.limits["file_bytes"]:
                raise Unreadable("too_many_bytes")
            return await self.desk.answer(data, model)
        except Unreadable as error:
            self.metrics.refused.labels(error.reason).inc()
            raise

    async def _one_of_many(self, data: bytes, model: Model) -> dict[str, Any]:
        try:
            return await self._one(data, model)
        except Unreadable as error:
            return problem(error)

    async def rows(self, body: bytes) -> dict[str, Any]:
        """What TensorFlow Serving's predict answers."""
        model = self.model()
        most = self.limits["instances"]
        with self.desk.admit(1):
            images, key = await self.desk.in_thread(tensorflow_api.images_of, body, model.shape, most)
            return {key: (await self.desk.predict(images, model.raw)).tolist()}

    async def within_limits(self, request: Request, work) -> dict[str, Any]:
        """`work(body)` once the body is there, unless the client leaves or it takes too long."""
        async with self.gate.body(request) as body:
            return await unless_gone(request, asyncio.ensure_future(work(body)), self.limits["answer_seconds"])

    def about(self) -> dict[str, Any]:
        """What GET /api/about answers."""
        about, keys = (
            self.model().about,
            ("model", "version", "labels", "threshold", "precision", "accuracy", "f1_macro"),
        )
        limits = {key: self.limits[key] for key in ("upload_bytes", "file_bytes", "files", "pixels")}
        return {key: about.get(key) for key in keys} | {"f1_macro": about.get("f1_macro") or {}, "limits": limits}


def make_app(settings: Mapping) -> FastAPI:
    """The ASGI application that `settings` (conf/serve.yaml, as plain values) describes."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Facial expressions in pictures",
        description="Finds the faces of a picture and says what each seems to express. Nothing that is sent is stored.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from a network
        redoc_url=None,
    )
    app.state.service = service
    add_api(app, service)
    add_tensorflow_api(app, service)
    add_health(app, service)
    add_page(app)
    add_problems(app)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings["hosts"]))
    app.add_middleware(Front, metrics=service.metrics, origins=list(settings["origins"]))
    return app


def add_api(app: FastAPI, service: Service) -> None:
    """The API that the study's clients know, with faces."""

    @app.post("/api/predict", response_model=schema.Picture | schema.Pictures, responses=PROBLEMS, openapi_extra=FORM)
    async def predict(request: Request) -> Any:
        """Faces and their apparent expressions. `file`: one picture. `files`: several, answered as `pictures`."""
        return JSONResponse(await service.within_limits(request, lambda body: service.answers(request, body)))

    @app.get("/api/about", response_model=schema.About, responses={503: PROBLEMS[503]})
    async def about() -> Any:
        """The model in service, its figures and what one request may hold."""
        return service.about()


def add_tensorflow_api(app: FastAPI, service: Service) -> None:
    """TensorFlow Serving's REST API; a version may be named, and has to be the one in service."""
    at = f"/v1/models/{tensorflow_api.NAME}"

    def check(version: int | None) -> Model:
        model = service.model()
        if version not in (None, model.about["version"]):
            raise Refusal(404, "no_version", f"Version {version} is not in service; {model.about['version']} is.")
        return model

    async def predict(request: Request, version: int) -> Any:
        """Probabilities of faces already cut out, in the order of the labels."""
        check(version)
        return JSONResponse(await service.within_limits(request, service.rows))

    async def status(version: int) -> Any:
        """State of the model in service."""
        return tensorflow_api.status(check(version))

    async def metadata(version: int) -> Any:
        """Names, types and shapes of its input and output."""
        return tensorflow_api.metadata(check(version))

    shape = schema.Predictions | schema.Outputs
    some = {code: PROBLEMS[code] for code in (400, 403, 408, 413, 503)}
    missing = {404: {"model": schema.Problem, "description": "Not the version in service."}, 503: PROBLEMS[503]}
    app.post(f"{at}:predict", response_model=shape, responses=some, openapi_extra=ROWS)(without_version(predict))
    app.get(at, responses={503: PROBLEMS[503]})(without_version(status))
    app.get(f"{at}/metadata", responses={503: PROBLEMS[503]})(without_version(metadata))
    version = f"{at}/versions/{{version}}"
    both = missing | some
    app.post(f"{version}:predict", response_model=shape, responses=both, openapi_extra=ROWS)(predict)
    app.get(version, responses=missing)(status)
    app.get(f"{version}/metadata", responses=missing)(metadata)


def add_health(app: FastAPI, service: Service) -> None:
    """For whoever runs the service."""

    @app.get("/health/live", response_model=schema.Said)
    async def live() -> Any:
        """It runs."""
        return {"status": "ok"}

    @app.get("/health/ready", response_model=schema.Said, responses={503: PROBLEMS[503]})
    async def ready() -> Any:
        """It has a model and answers pictures."""
        if service.watched.current is None:
            raise Refusal(503, "no_model", service.watched.trouble or "The model is being loaded.", retry=5)
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Any:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def add_page(app: FastAPI) -> None:
    """The page at / and what it loads."""

    @app.get("/", include_in_schema=False)
    async def page() -> Any:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


def add_problems(app: FastAPI) -> None:
    """Every failure is answered with words and a code; a fault of the service's own without its details."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        return said(error.status, error.code, error.words, error.retry)

    @app.exception_handler(Busy)
    async def busy(_: Request, error: Busy) -> JSONResponse:
        return said(503, "busy", str(error), error.seconds)

    @app.exception_handler(Unreadable)
    async def unreadable(_: Request, error: Unreadable) -> JSONResponse:
        return JSONResponse(problem(error), WHY_NOT[error.reason][0])

    @app.exception_handler(Gone)
    async def gone(_: Request, error: Gone) -> Response:
        return Response(status_code=499)  # nobody reads it; counted in the metrics

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return said(422, "bad_request", "A value in the address is not what is expected there.")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail), "code": "http"}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        return said(500, "fault", "The service failed at this; the fault is its own and has been logged.")


def said(status: int, code: str, words: str, retry: int | None = None) -> JSONResponse:
    """A problem as an answer."""
    headers = {} if retry is None else {"Retry-After": str(retry)}
    return JSONResponse({"error": words, "code": code}, status, headers)


def problem(error: Unreadable) -> dict[str, str]:
    """A picture that can't be read, as its answer."""
    return {"error": str(error), "code": error.reason}


def without_version(route):
    """The same route where no version is named."""

    async def call(request: Request) -> Any:
        return await (route(request, None) if "request" in route.__annotations__ else route(None))

    call.__name__, call.__doc__ = f"{route.__name__}_latest", route.__doc__
    return call
