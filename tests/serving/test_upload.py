"""Uploads: one that is slow to parse keeps nobody from being answered, and none takes more memory than is counted."""

import asyncio
import encodings
import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import Request

from pipeline.serving.metrics import Metrics
from pipeline.serving.upload import PIECE, Body, Gate, Gone, Refusal, files, unless_gone

FORM = Request({"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]})
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
SLOW = HEAD + b"\r\n--bx" * (1 << 16) + b"\r\n--b--\r\n"  # a boundary all but for its end, again and again


def came(*parts: bytes, kind: type[Body] = Body) -> Body:
    body = kind(Gate({}, Metrics()))
    for part in parts:
        body.take(part)
    return body


def read(body: Body, parsing: asyncio.Semaphore | None = None):
    return files(FORM, body, {"files": 20}, parsing or asyncio.Semaphore(2))


class Counted(Body):
    """A body that says how many pieces of it were asked for, and gives each once the client has `left`."""

    patience = 60  # seconds

    def __init__(self, gate: Gate):
        super().__init__(gate)
        self.asked, self.left = 0, threading.Event()

    def pieces(self):
        for piece in super().pieces():
            self.asked += 1
            self.left.wait(self.patience)
            yield piece


def test_the_event_loop_goes_on_while_a_form_is_parsed():
    async def parsed() -> None:
        body = came(SLOW, kind=Counted)
        body.patience = 5
        parsing = asyncio.ensure_future(read(body))
        while not body.asked:
            await asyncio.sleep(0.001)
        assert not parsing.done()  # the parser waits for `left`, and with it would whatever waits for the parser
        body.left.set()
        assert await parsing == {"file": [SLOW[len(HEAD) : -len(b"\r\n--b--\r\n")]], "files": []}

    asyncio.run(parsed())


def test_the_parsing_ends_when_nobody_waits_for_it():
    async def left() -> Body:
        body = came(*[SLOW[start : start + 4096] for start in range(0, len(SLOW), 4096)], kind=Counted)
        parsing = asyncio.ensure_future(read(body))
        while not body.asked:
            await asyncio.sleep(0.001)
        parsing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await parsing
        body.left.set()
        return body

    assert asyncio.run(left()).asked == 1  # of 97; it ends once its threads have


def test_a_form_whose_client_leaves_while_it_waits_to_be_parsed_is_forgotten():
    forgotten = []

    class Part(bytes):
        def __del__(self):
            forgotten.append(self[:1])

    async def left() -> int:
        threads, over = ThreadPoolExecutor(1), threading.Event()
        threads.submit(over.wait)
        asyncio.get_running_loop().set_default_executor(threads)
        parsing = asyncio.Semaphore(1)
        first = asyncio.ensure_future(read(came(HEAD), parsing))  # it waits for the thread
        await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(read(came(Part(HEAD)), parsing)) for _ in range(20)]
        await asyncio.sleep(0.001)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        del each, waiting
        await asyncio.sleep(0.001)
        gc.collect()
        first.cancel()
        over.set()
        return len(forgotten)

    assert asyncio.run(left()) == 20


def test_an_upload_is_in_memory_once_and_a_file_of_it_for_a_moment_twice():
    form = HEAD.replace(b'"file"', b'"files"')
    tracemalloc.start()
    body = came()
    for file in range(8):
        body.take(form if not file else b"\r\n" + form)
        for _ in range(16):
            body.take(bytes([65 + file]) * PIECE)
    body.take(b"\r\n--b--\r\n")
    whole = 8 * 16 * PIECE
    tracemalloc.reset_peak()
    found = asyncio.run(read(body))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [set(each) for each in found["files"]] == [{65 + file} for file in range(8)]
    assert sum(map(len, found["files"])) == whole
    assert held < 1.1 * whole and peak < 1.4 * whole


def test_uploads_that_come_in_hold_no_more_bytes_than_they_may_together():
    async def crowd():
        limits = {"upload_bytes": 100, "held_bytes": 200, "connections": 9, "body_seconds": 60}
        gate, rest = Gate(limits, Metrics()), asyncio.Event()

        async def upload() -> int:
            parts = [{"type": "http.request", "body": b"x" * 100, "more_body": True}]

            async def receive():
                if parts:
                    return parts.pop()
                await rest.wait()
                return {"type": "http.request", "body": b"", "more_body": False}

            async with gate.body(Request({"type": "http", "headers": []}, receive)) as body:
                return len(b"".join(body.pieces()))

        half_sent = [asyncio.ensure_future(upload()) for _ in range(3)]
        await asyncio.sleep(0)
        held = gate.held
        rest.set()
        *let_in, refused = await asyncio.gather(*half_sent, return_exceptions=True)
        assert isinstance(refused, Refusal) and (refused.status, refused.code, refused.retry) == (503, "busy", 2)
        return held, let_in, gate.held, await upload()

    assert asyncio.run(crowd()) == (200, [100, 100], 0, 100)


@pytest.mark.parametrize("left", (False, True), ids=("the time is up", "the client has left"))
def test_work_that_nobody_waits_for_any_more_is_ended(left):
    async def receive():
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def ended() -> bool:
        work = asyncio.ensure_future(asyncio.sleep(30))
        with pytest.raises(Gone if left else Refusal) as why:
            await unless_gone(Request({"type": "http"}, receive), work, 60 if left else 0.1)
        assert left or (why.value.status, why.value.code, why.value.retry) == (503, "too_long", 5)
        await asyncio.wait({work}, timeout=1)
        return work.cancelled()

    assert asyncio.run(ended())


@pytest.mark.parametrize("cut", (0, 2, 20))
def test_a_form_that_is_cut_short_is_refused_rather_than_read_without_its_last_file(cut):
    whole = HEAD + b"one\r\n" + HEAD.replace(b"file", b"files", 1) + b"two\r\n--b--\r\n"
    with pytest.raises(Refusal, match="ends before its last boundary"):
        asyncio.run(read(came(whole[: whole.rfind(b"\r\n--b--") - cut])))


def test_a_field_that_is_no_file_is_refused_before_much_of_it_is_text():
    form = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n-' + b"b" * 10_000 + b"\r\n--b--\r\n"
    with pytest.raises(Refusal, match="exceeded maximum size of 1KB"):
        asyncio.run(read(came(form)))


def of_kind(kind: str, boundary: str) -> bytes:
    """The file of a form with this Content-Type and boundary, as it is read."""
    request = Request({"type": "http", "headers": [(b"content-type", kind.encode("latin-1"))]})
    form = (HEAD + b"one\r\n--b--\r\n").replace(b"--b", f"--{boundary}".encode("latin-1"))
    (found,) = asyncio.run(files(request, came(form), {"files": 20}, asyncio.Semaphore(1)))["file"]
    return found


def test_a_charset_is_passed_over_and_its_name_not_kept():
    known = len(encodings._cache)
    for number in range(50):
        charset = f"q{number}{'z' * 15_000}"
        assert of_kind(f"multipart/form-data; charset={charset}; boundary=b", "b") == b"one"
    assert len(encodings._cache) == known
    assert of_kind("multipart/form-data; boundary=b; charset=utf-16", "b") == b"one"


@pytest.mark.parametrize(
    ("written", "boundary"),
    (("'()+_,-./:=?", "'()+_,-./:=?"), ('"a;b c"', "a;b c"), ('"a\\\\\\"; b"', 'a\\"; b'), ("caf\xe9", "caf\xe9")),
)
def test_a_boundary_is_the_clients_whatever_it_is_made_of(written, boundary):
    assert of_kind(f"multipart/form-data; boundary={written}; charset=x", boundary) == b"one"
    assert of_kind(f"Multipart/Form-Data ;a=b; BOUNDARY={written}", boundary) == b"one"
