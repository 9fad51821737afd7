"""The service's routes: the page, the study's API, TensorFlow Serving's REST API, health, metrics.

Stateless: a picture is in memory until its answer and nowhere else, and no answer holds anything that was sent.
"""

import ipaddress
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.exporting import names
from pipeline.serving import tensorflow_api
from pipeline.serving.front import Front
from pipeline.serving.model import Model
from pipeline.serving.pictures import WHY_NOT, Unreadable
from pipeline.serving.schema import (
    TENSORS,
    VERSION,
    About,
    Metadata,
    Outputs,
    Picture,
    Pictures,
    Predictions,
    Said,
    Status,
    form,
    problems,
)
from pipeline.serving.service import Service, problem
from pipeline.serving.upload import Gone, Refusal

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
HOST = re.compile(r"([\w.-]+|\[[\da-f:.]+\])(:\d*)?")  # a Host header: name or address, and port
HOSTS = """'hosts=["emotion.example.org"]'"""


def make_app(settings: Mapping) -> FastAPI:
    """The ASGI application that `settings` (conf/serve.yaml, as plain values) describes."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        host, hosts = settings["host"], settings["hosts"]
        if not is_local(host) and all(map(is_local, hosts)):
            only = ", ".join(hosts)
            refused = "host=%s: requests by another name than %s are refused; add those that clients use, as in %s"
            log.info(refused, host, only, HOSTS)
        async with service.running():
            yield

    app = FastAPI(
        title="Facial expressions in pictures",
        description="Finds the faces of a picture and says what each seems to express. Nothing that is sent is stored. "
        "Of any other address it says 404, `not_found`.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from a network
        redoc_url=None,
        responses=problems(405),
    )
    app.state.service = service
    add_api(app, service)
    add_tensorflow_api(app, service)
    add_health(app, service)
    add_page(app)
    add_problems(app)
    if origins := settings["origins"]:  # inside the checks: what they refuse is granted to nobody
        granted = {"allow_origins": origins, "allow_methods": ("GET", "POST"), "expose_headers": ("Retry-After",)}
        app.add_middleware(CORSMiddleware, **granted)
    app.add_middleware(Hosts, names=settings["hosts"])
    app.add_middleware(Front, metrics=service.metrics, origins=origins)
    return app


def is_local(host: str) -> bool:
    """Whether a name or address is one of this machine to itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Hosts:
    """Names under which the service may be asked. Health is told under any: who checks it asks by address.

    Else a page of elsewhere could have its own name point here and would be of the same origin.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]):
        self.app, self.names = app, [name.lower() for name in names]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        free = scope["type"] != "http" or scope["path"].startswith("/health/")
        if free or self._has(Headers(scope=scope).get("host", "").lower()):
            await self.app(scope, receive, send)
            return
        words = f"The service may not be asked under this name. Whoever runs it can add the name: {HOSTS}."
        await said(400, "unknown_host", words)(scope, receive, send)

    def _has(self, header: str) -> bool:
        found = HOST.fullmatch(header)
        name = found.group(1) if found else ""
        wildcards = [each[1:] for each in self.names if each.startswith("*.")]
        return "*" in self.names or name in self.names or name.endswith(tuple(wildcards))


def add_api(app: FastAPI, service: Service) -> None:
    """The API that the study's clients know, with faces."""
    refusals, most = problems(400, 403, 408, 413, 415, 422, 503), service.limits["files"]
    fields = f"`file`: one picture. `files`: several, {most} at most, answered as `pictures`."

    @app.post("/api/predict", response_model=Picture | Pictures, responses=refusals, openapi_extra=form(most),
              description=f"Faces and their apparent expressions. {fields}")  # fmt: skip
    async def predict(request: Request) -> Any:
        return JSONResponse(await service.within_limits(request, lambda body: service.answers(request, body)))

    @app.get("/api/about", response_model=About, responses=problems(400, 503))
    async def about() -> Any:
        """The model in service, its figures, from when on an emotion leads and what one request may hold."""
        return service.about()


def add_tensorflow_api(app: FastAPI, service: Service) -> None:
    """TensorFlow Serving's REST API; a version may be named, and has to be the one in service."""
    register_url_convertor("version", Version())
    refusals = problems(400, 403, 408, 413, 503)

    def named(request: Request) -> Model:
        model = service.model()
        if request.path_params.get("version") not in (None, model.about["version"]):
            raise Refusal(404, "no_version", f"That version is not in service; {model.about['version']} is.")
        return model

    async def predict(request: Request) -> Any:
        """Probabilities of faces already cut out, in the order of the labels."""
        model = named(request)  # and no other, should an export be taken up while the body comes
        return JSONResponse(await service.within_limits(request, lambda body: service.rows(body, model)))

    async def status(request: Request) -> Any:
        """State of the model in service."""
        return tensorflow_api.status(named(request))

    async def metadata(request: Request) -> Any:
        """Names, types and shapes of its input and output."""
        return tensorflow_api.metadata(named(request))

    latest = f"/v1/models/{names.MODEL}"
    for at, extra, missing in ((latest, {}, {}), (f"{latest}/versions/{{version:version}}", VERSION, problems(404))):
        post = app.post(f"{at}:predict", response_model=Predictions | Outputs, responses=missing | refusals,
                        openapi_extra=TENSORS | extra)  # fmt: skip
        post(predict)
        told = {"responses": missing | problems(400, 503), "openapi_extra": extra}
        app.get(at, response_model=Status, **told)(status)
        app.get(f"{at}/metadata", response_model=Metadata, **told)(metadata)


class Version(IntegerConvertor):
    """A version in an address: a number of at most nineteen digits, as int() fails at thousands."""

    regex = "[0-9]{1,19}"


def add_health(app: FastAPI, service: Service) -> None:
    """For whoever runs the service."""

    @app.get("/health/live", response_model=Said)
    async def live() -> Any:
        """It runs."""
        return {"status": "ok"}

    @app.get("/health/ready", response_model=Said, responses=problems(503))
    async def ready() -> Any:
        """It has a model and answers pictures."""
        if service.watched.current is None:
            raise Refusal(503, "no_model", service.watched.trouble or "The model is being loaded.", retry=5)
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response, responses=problems(400) | {200: {"content": {"text/plain": {}}}})
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
        headers = {} if error.retry is None else {"Retry-After": str(error.retry)}
        return said(error.status, error.code, error.words, headers)

    @app.exception_handler(Unreadable)
    async def unreadable(_: Request, error: Unreadable) -> JSONResponse:
        return JSONResponse(problem(error), WHY_NOT[error.reason][0])

    @app.exception_handler(Gone)
    async def gone(_: Request, error: Gone) -> Response:
        return Response(status_code=499)  # nobody reads it; counted in the metrics

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        status, headers = error.status_code, error.headers
        if status == 404:
            return said(404, "not_found", "There is nothing at this address; /openapi.json says what there is.")
        if status == 405:
            return said(405, "bad_method", f"This address takes {headers['Allow']} and nothing else.", headers)
        return said(status, "http", str(error.detail), headers)


def said(status: int, code: str, words: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as an answer."""
    return JSONResponse({"error": words, "code": code}, status, headers)
