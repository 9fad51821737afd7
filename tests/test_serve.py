"""The serve step: its values, and what it says of those that can't be."""

import asyncio
import re
import socket
import subprocess
import sys

import pytest
import uvicorn
from conftest import composed
from omegaconf import OmegaConf

from pipeline import serve
from pipeline.running.errors import UserError


@pytest.mark.parametrize(
    ("override", "said"),
    (
        ("limits.files=99", "limits.files=99"),
        ("limits.held_bytes=10", "limits.upload_bytes"),
        ("workers=0", "workers=0"),
        ("workers=many", "workers=many: expected auto or a whole number"),
        ("port=70000", "port=70000: expected a whole number, from 1 to 65535"),
        ("port=null", "port=null"),
        ("batch_sizes=4", "batch_sizes=4"),
        ("batch_sizes=[1,x]", "batch_sizes=x: expected a whole number, at least 1"),
        ("batch_sizes=[1,0]", "batch_sizes=0"),
        ("limits.upload_bytes=32MB", "limits.upload_bytes=32MB: expected a whole number"),
        ("limits.pixels=x", "limits.pixels=x"),
        ("limits.connections=true", "limits.connections=true"),
        ("limits.header_seconds=0", "limits.header_seconds=0: expected a number, from 0.001"),
        ("poll_seconds=x", "poll_seconds=x"),
        ("hosts=emotion.example.org", "hosts=emotion.example.org: expected a list"),
        ("hosts=[emotion*]", "hosts="),
        ("hosts=['emotion.example.org:8000']", "hosts=emotion.example.org:8000: expected a name or address alone"),
        ("hosts=['https://b.example.org']", "hosts=https://b.example.org: expected a name"),
        ("hosts=['::1']", "hosts=::1: expected a name"),
        ("origins=['https://b.example.org/']", "origins=https://b.example.org/: expected one as a browser sends it"),
        ("origins=https://example.org", "origins=https://example.org: expected a list"),
        ("exported=null", "exported=null: expected a text"),
        ("host=127", "host=127: expected a text"),
        ("faces.threshold=1", "faces.threshold=1: expected a number, from 0.01 to 0.99"),
        ("faces.max_tiles=0", "faces.max_tiles=0: expected a whole number"),
        ("faces.tile=small", "faces.tile=small: expected a number"),
        ("faces.crop.fills=0", "faces.crop.fills=0"),
        ("faces.frame.margin=null", "faces.frame.margin=null"),
        ("faces.smallest=0.5", "faces.smallest=0.5: expected a whole number"),
    ),
)
def test_values_that_can_not_be_are_refused_by_name(override, said):
    with pytest.raises(UserError, match=re.escape(said)) as refusal:
        serve.check(OmegaConf.to_container(composed("serve", override), resolve=True))
    assert "\n" not in str(refusal.value)


def test_the_values_as_they_are_stand():
    settings = OmegaConf.to_container(composed("serve"), resolve=True)
    serve.check(settings)
    assert settings["host"] == "127.0.0.1" and settings["faces"]["threshold"]


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "pipeline.serve", f"port={port}", f"exported={tmp_path}", "workers=1"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 2
    assert f"port={port}" in ended.stderr and "Traceback" not in ended.stderr
    assert "http://" not in ended.stderr


@pytest.mark.parametrize("host", ("127.0.0..1", "a" * 70))
def test_a_host_that_can_be_no_name_is_one_line(tmp_path, host):
    command = [sys.executable, "-m", "pipeline.serve", f"host={host}", f"exported={tmp_path}", "workers=1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert f"host={host} port=8000: can't listen there; name another" in last and "Traceback" not in ended.stderr


def test_a_start_that_fails_for_another_reason_is_not_put_down_to_the_port():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "a fault of its own"})

    with pytest.raises(SystemExit):
        asyncio.run(serve.Server(uvicorn.Config(app, log_config=None)).serve())


def test_the_address_of_ipv6_is_one_that_a_browser_opens(caplog):
    async def start():
        server = serve.Server(uvicorn.Config(lambda *_: None, host="::1", port=0, lifespan="off", log_config=None))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup()
        await server.shutdown()

    with caplog.at_level("INFO", "pipeline.serve"):
        asyncio.run(start())
    assert "http://[::1]:0 " in caplog.text
