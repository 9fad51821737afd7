"""The service as a process: how it starts and stops, and clients that are slow, silent or gone."""

import contextlib
import os
import re
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from serving.drawn import encoded, enlarged, group, portrait
from serving.server import Server

FACE = encoded(portrait())
LIMITS = ("limits.body_seconds=2", "limits.header_seconds=2", "limits.upload_bytes=4000000")


@pytest.fixture(scope="module")
def server(exported: Path) -> Iterator[Server]:
    with Server(exported, *LIMITS, "limits.file_bytes=4000000") as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def head(length: int) -> bytes:
    kind = "multipart/form-data; boundary=b"
    lines = [
        "POST /api/predict HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def test_row_40_a_slow_sender_and_a_silent_one_are_closed_at_a_deadline(server):
    with connect(server) as silent, connect(server) as half, connect(server) as slow:
        started = time.monotonic()
        slow.sendall(head(1000) + b"--b")
        half.sendall(b"POST /api/pre")
        received = until_closed(slow)
        assert b" 408 " in received.splitlines()[0] and b"too_slow" in received
        assert until_closed(silent) == b"" and until_closed(half) == b""
        assert time.monotonic() - started < 15
    assert server.metric("emotion_upload_bytes_held") == 0


@pytest.mark.parametrize(
    ("first", "status"),
    ((b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 200 "), (head(5_000_000), b" 413 ")),
    ids=("a second head", "the rest of a body already answered"),
)
def test_row_40_a_slow_sender_is_closed_after_an_answer_too(server, first, status):
    with connect(server) as kept:
        kept.sendall(first)
        assert status in kept.recv(65536)
        kept.settimeout(0.3)
        started, part = time.monotonic(), b"the answer's end"
        while part:
            assert time.monotonic() - started < 8
            try:
                kept.sendall(b"a")
                part = kept.recv(65536)
            except TimeoutError:
                pass
            except OSError:  # closed
                break


@pytest.mark.parametrize(
    "sent",
    (
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        head(1).replace(b"Length: 1", b"Length: abc"),
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ),
    ids=("no head", "no host", "no length", "no path"),
)
def test_what_is_no_head_is_answered(server, sent):
    with connect(server) as connection:
        connection.sendall(sent)
        assert b" 400 " in until_closed(connection).splitlines()[0]


def test_what_is_refused_from_its_head_is_not_asked_for(server):
    with connect(server) as connection:
        connection.sendall(head(5_000_000).replace(b"Host", b"Expect: 100-continue\r\nHost"))
        assert until_closed(connection).startswith(b"HTTP/1.1 413 ")


def test_row_40_a_client_that_leaves_frees_its_place(server):
    busy = encoded(enlarged(group([("happy", 41)] * 4, 5, 300), 3))
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + busy + b"\r\n--b--\r\n"
    faces = server.metric("emotion_faces_total")
    for _ in range(30):
        with connect(server) as leaving:
            leaving.sendall(head(len(body)) + body)
    deadline = time.monotonic() + 30
    while server.metric("emotion_pictures_waiting") or server.metric("emotion_upload_bytes_held"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert server.metric("emotion_faces_total") < faces + 30 * 4, "all of them were answered all the same"
    assert server.post(FACE).status_code == 200


CHUNKED = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_row_39_small_chunks_do_not_stop_health(server):
    with connect(server) as few, connect(server) as many:
        few.sendall(CHUNKED + b"1\r\nx\r\n" * 1000)
        assert b"send larger ones" in until_closed(few)
        started = time.monotonic()
        flood = threading.Thread(target=send_until_closed, args=(many, CHUNKED + b"1\r\nx\r\n" * 600_000))
        flood.start()
        while flood.is_alive() and time.monotonic() - started < 30:
            assert httpx.get(f"{server.url}/health/live", timeout=10).status_code == 200
            flood.join(0.05)
        assert not flood.is_alive() and time.monotonic() - started < 10


def send_until_closed(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(data)
        until_closed(connection)


def test_row_39_larger_chunks_are_taken(server):
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + FACE
        + bytes(2**20)
        + b"\r\n--b--\r\n"
    )
    pieces = (body[start : start + 1024] for start in range(0, len(body), 1024))
    assert httpx.post(f"{server.url}/api/predict", content=pieces, headers=kind, timeout=60).status_code == 200


def test_row_40_clients_that_do_not_read_are_closed_and_leave_descriptors_for_others(exported):
    ask = b"GET /page/samples/audience.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    limited = Server(exported, *LIMITS)
    limited.options = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))}
    with limited as server, contextlib.ExitStack() as unread:
        before = server.metric("process_open_fds")
        for _ in range(80):
            connection = unread.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.settimeout(0.2)
            with contextlib.suppress(OSError):  # one too many, closed as it came or not taken in yet
                connection.connect(("127.0.0.1", server.port))
                connection.sendall(ask)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(httpx.TransportError):
                if server.metric("process_open_fds") <= before + 2:
                    break
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.2)
        assert "limits.connections=256: 16 here" in server.log() and "Traceback" not in server.log()


def test_row_35_memory_is_bounded_whatever_is_sent(server):
    before = server.metric("process_resident_memory_bytes")

    def flood():
        for _ in range(200):
            yield b"x" * 2**20

    for _ in range(2):
        try:
            answer = httpx.post(f"{server.url}/api/predict", content=flood(), headers={"content-type": "text/plain"})
            assert answer.status_code == 413
        except httpx.TransportError:
            pass  # closed while it was still sending
    assert server.metric("process_resident_memory_bytes") - before < 100 * 2**20
    assert server.post(FACE).status_code == 200


def test_row_41_accepted_requests_finish_once_it_is_told_to_stop(exported):
    wide = encoded(Image.fromarray(np.tile(np.asarray(portrait(side=400)), (3, 5, 1))))
    with Server(exported, "limits.stop_seconds=100", "limits.answer_seconds=100") as server:
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(server.post(wide).status_code)) for _ in range(8)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while server.metric("emotion_pictures_waiting") + len(answers) < 8:
            assert time.monotonic() < deadline
        os.kill(server.process.pid, signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert server.process.wait(60) in (0, -signal.SIGTERM)
    assert answers == [200] * 8
    assert "Traceback" not in server.log()


def test_every_line_of_the_log_has_time_and_level_and_no_client_writes_any(exported):
    form = {"content-type": "multipart/form-data; boundary=b"}
    with Server(exported) as server:
        for _ in range(3):
            with connect(server) as connection:
                connection.sendall(b"GARBAGE\r\n\r\n")
                assert b" 400 " in until_closed(connection)
            broken = httpx.post(f"{server.url}/api/predict", content=b"--garbage", headers=form)
            assert (broken.status_code, broken.json()["code"]) == (400, "bad_form")
        lines = [line for line in server.log().splitlines() if "XNNPACK" not in line]  # LiteRT's own, of its start
    assert len(lines) == 2 and all(re.match(r"20\d\d-\d\d-\d\dT[\d:]{8}[+-]\d{4} INFO ", line) for line in lines)


def test_it_says_where_it_is_and_what_it_serves(server):
    assert re.search(r"http://127\.0\.0\.1:\d+", server.log())
    assert f"{server.exported}: serving tiny, version 1" in server.log()


def test_it_needs_no_folder_to_write_in(exported, tmp_path):
    """A read-only file system: every open for writing below the working directory or the temporary one is reported."""
    code = (
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event == 'open' and isinstance(args[0], str) and args[2] & (os.O_WRONLY | os.O_RDWR):\n"
        "        if not args[0].startswith('/dev/'): print('WRITES', args[0], flush=True)\n"
        "sys.addaudithook(hook)\n"
        "sys.dont_write_bytecode = True\n"
        "from pipeline.running import cli\n"
        "cli.run('serve')\n"
    )
    with Server(exported, python=("-c", code)) as server:
        noisy = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)), "PNG")
        assert len(noisy) > 2**21
        assert server.post(noisy).status_code == 200
        assert server.post(FACE).status_code == 200
        server.process.send_signal(signal.SIGINT)  # Ctrl-C
        assert server.process.wait(60) == 0
    assert "WRITES" not in server.log()
    assert "interrupted" not in server.log() and "Traceback" not in server.log()
