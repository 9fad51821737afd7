"""Serve the exported model on this machine: a page at / and an API, until Ctrl-C or SIGTERM.

Needs the extra `serve` and nothing of TensorFlow. `exported` is a folder that export has written; without one the
service starts all the same, says at /health/ready what is missing, and takes the model up as soon as it is there.
"""

import asyncio
import logging

import uvicorn
from omegaconf import DictConfig, OmegaConf
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.running import cli
from pipeline.running.errors import UserError
from pipeline.serving.app import make_app

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    settings = OmegaConf.to_container(cfg, resolve=True)
    check(settings)
    limits = settings["limits"]
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(settings),
            host=settings["host"],
            port=settings["port"],
            http=protocol(limits["header_seconds"]),
            ws="none",
            log_config=None,
            access_log=False,  # it would keep the addresses of those who ask
            server_header=False,
            timeout_graceful_shutdown=limits["stop_seconds"],
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    log.info("http://%s:%s (end with Ctrl-C)", settings["host"], settings["port"])
    asyncio.run(serve(server, settings))


async def serve(server: uvicorn.Server, settings: dict) -> None:
    """Serve until told to stop; UserError when the address can't be listened on."""
    try:
        await server.serve()
    except SystemExit:  # uvicorn has logged why
        raise UserError(
            f"host={settings['host']} port={settings['port']}: can't listen there; name another port with port="
        ) from None


def check(settings: dict) -> None:
    """UserError for values that contradict each other."""
    limits = settings["limits"]
    if 1 not in settings["batch_sizes"]:
        raise UserError(f"batch_sizes={settings['batch_sizes']}: 1 has to be among them")
    if limits["files"] > limits["waiting"]:
        raise UserError(f"limits.files={limits['files']}: at most limits.waiting={limits['waiting']}, or none gets in")
    if limits["upload_bytes"] > limits["held_bytes"]:
        raise UserError(
            f"limits.upload_bytes={limits['upload_bytes']}: at most limits.held_bytes={limits['held_bytes']}"
        )
    if settings["workers"] != "auto" and not (isinstance(settings["workers"], int) and settings["workers"] > 0):
        raise UserError(f"workers={settings['workers']}: expected auto or a number of threads")


def protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1 with a deadline for a request's head, which it has only between two requests."""

    class Impatient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.deadline = self.loop.call_later(seconds, self.close_if_silent)

        def close_if_silent(self) -> None:
            if self.cycle is None and not self.transport.is_closing():  # no request has begun
                self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self.deadline.cancel()
            super().connection_lost(exc)

    return Impatient


if __name__ == "__main__":
    cli.run("serve")
