"""Serve the exported model on this machine: a page at / and an API, until Ctrl-C or SIGTERM.

Needs the extra `serve` and nothing of TensorFlow. `exported` is a folder that export has written; without one the
service starts all the same, says at /health/ready what is missing, and takes the model up as soon as it is there.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import uvicorn
from omegaconf import DictConfig, OmegaConf

from pipeline.running import cli
from pipeline.running.errors import UserError
from pipeline.serving import connections
from pipeline.serving.app import HOST, make_app

log = logging.getLogger(__name__)

ORIGIN = re.compile(r"https?://[^/]+")  # as a browser sends it


def main(cfg: DictConfig) -> None:
    settings = OmegaConf.to_container(cfg, resolve=True)
    check(settings)
    limits, most = settings["limits"], connections.most()
    if most < limits["connections"]:
        log.warning("limits.connections=%s: %s here, a quarter of what ulimit -n says", limits["connections"], most)
    server = Server(
        uvicorn.Config(
            make_app(settings),
            host=settings["host"],
            port=settings["port"],
            http=connections.protocol(limits["header_seconds"], limits["body_seconds"], most),
            ws="none",
            log_config=None,
            access_log=False,  # it would keep the addresses of those who ask
            server_header=False,
            backlog=min(100, most // 4),  # accepted in one go, thrice before the first can be closed as one too many
            timeout_graceful_shutdown=limits["stop_seconds"],
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with suppress(KeyboardInterrupt):  # the way to end it, which uvicorn hands on once it has ended
        asyncio.run(server.serve())


class Server(uvicorn.Server):
    """uvicorn's, which says where it is once it is there."""

    async def startup(self, *arguments: Any, **named: Any) -> None:
        """UserError when the address can't be listened on."""
        host, port = self.config.host, self.config.port
        refused = UserError(f"host={host} port={port}: can't listen there; name another with host= or port=")
        try:
            await super().startup(*arguments, **named)
        except SystemExit:  # uvicorn has logged why
            if self.lifespan.should_exit:  # a fault in the service's own start
                raise
            raise refused from None
        except UnicodeError:  # a host that can be no name, such as 127.0.0..1
            await self.lifespan.shutdown()
            raise refused from None
        log.info("http://%s:%s (end with Ctrl-C)", reached_at(host), port)


def reached_at(host: str) -> str:
    """The name by which a service that listens on `host` can be asked from the same machine."""
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def check(settings: Mapping[str, Any]) -> None:
    """UserError for values that contradict each other."""
    limits, hosts = settings["limits"], settings["hosts"]
    if any("*" in host.removeprefix("*.") for host in hosts if host != "*"):
        raise UserError(f"hosts={hosts}: a * stands for any host, or for the first part of one, as in *.example.org")
    for name in hosts:
        found = HOST.fullmatch(name.removeprefix("*."))
        if name != "*" and (not found or found[2]):
            raise UserError(f"hosts={name}: expected a name or address alone, as emotion.example.org or [::1], no port")
    for origin in settings["origins"]:
        if not ORIGIN.fullmatch(origin):
            raise UserError(f"origins={origin}: expected one as a browser sends it, such as https://example.org")
    if limits["files"] > limits["waiting"]:
        most = f"at most limits.waiting={limits['waiting']}, or a request of so many never gets in"
        raise UserError(f"limits.files={limits['files']}: {most}")
    if limits["upload_bytes"] > limits["held_bytes"]:
        raise UserError(
            f"limits.upload_bytes={limits['upload_bytes']}: at most limits.held_bytes={limits['held_bytes']}"
        )


if __name__ == "__main__":
    cli.run("serve")
