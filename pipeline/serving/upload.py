"""What a client sends, read so that no client can take more memory or time than it is given.

Bytes are counted as they come, before any parser sees them: neither a false Content-Length nor chunks get around that.
Nothing is written to a disk; what a form holds stays in memory until the answer.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from pipeline.serving.metrics import Metrics

LINGER_SECONDS = 2  # that a refused client gets to stop sending: closing at once would lose it the answer
PIECE = 1 << 16  # bytes of a form that are parsed before it is looked whether anybody still waits for it
TEXT = 1 << 10  # bytes of a field that is no file, which is refused in any case: as text they can be four times as many


class Refusal(Exception):
    """A request that is not done: HTTP status, a code for programs, words for people, seconds until a retry or None."""

    def __init__(self, status: int, code: str, words: str, retry: int | None = None):
        super().__init__(words)
        self.status, self.code, self.words, self.retry = status, code, words, retry


class Gone(Exception):
    """The client has left; nobody waits for an answer."""


class Gate:
    """Lets requests in, at most `connections` at a time, and holds at most `held_bytes` of them in memory."""

    def __init__(self, limits: Mapping, metrics: Metrics):
        self.limits, self.metrics = limits, metrics
        self.inside = self.held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator["Body"]:
        """The whole body, counted as held until the end of `with`; Refusal if it is too large, slow or one too many."""
        if self.inside >= self.limits["connections"]:
            raise Refusal(503, "busy", "Too many requests are open; try again in 1 s.", retry=1)
        self.inside += 1
        held = Body(self)
        try:
            try:
                await self._receive(request, held)
            except Refusal:
                unasked = not held.size and "expect" in request.headers  # to listen would be to ask for it
                held.let_go()
                if unasked:
                    raise
                with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: that was all of it
                    async with asyncio.timeout(LINGER_SECONDS):
                        async for _ in request.stream():
                            pass
                raise
            yield held
        finally:
            held.let_go()
            self.inside -= 1

    async def _receive(self, request: Request, held: "Body") -> None:
        most, seconds = self.limits["upload_bytes"], self.limits["body_seconds"]
        too_large = Refusal(413, "too_large", f"The upload is larger than {most / 2**20:g} MiB; send less at a time.")
        stated = request.headers.get("content-length", "0")
        if not stated.isdecimal() or int(stated) > most:
            raise too_large
        try:
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    if held.size + len(part) > most:
                        raise too_large
                    if self.held + len(part) > self.limits["held_bytes"]:
                        raise Refusal(503, "busy", "Too many uploads are coming in; try again in 2 s.", retry=2)
                    held.take(part)
        except TimeoutError:
            raise Refusal(408, "too_slow", f"The upload was not complete after {seconds} s.") from None
        except ClientDisconnect:
            raise Gone from None


class Body:
    """The bytes of one request, counted at the gate. Who takes them has them alone: they are in memory once."""

    def __init__(self, gate: Gate):
        self.gate, self.size, self.parts = gate, 0, deque()

    def take(self, part: bytes) -> None:
        self.parts.append(part)
        self.size += len(part)
        self._count(len(part))

    def pieces(self) -> Iterator[bytes]:
        """The bytes, once, each piece forgotten when the next is asked for; of at most PIECE."""
        parts, self.parts = self.parts, deque()
        while parts:
            part = parts.popleft()
            for start in range(0, len(part), PIECE):
                yield part[start : start + PIECE]

    def let_go(self) -> None:
        self._count(-self.size)
        self.size = 0
        self.parts.clear()

    def _count(self, change: int) -> None:
        self.gate.held += change
        self.gate.metrics.held.set(self.gate.held)


async def files(request: Request, body: Body, limits: Mapping, parsing: asyncio.Semaphore) -> dict[str, list[bytes]]:
    """The files of a multipart form by field, `file` and `files`; Refusal when it is no form or holds too much.

    parsing: lets in as many forms as are parsed at once. The others wait here and not for a thread, where their bodies
    would stay in memory after their clients have left.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise Refusal(415, "no_form", "Send pictures as multipart/form-data, in the field file or files.")

    most, given_up = limits["files"], threading.Event()
    try:
        async with parsing:
            form = await asyncio.to_thread(_form, kind, body, most, given_up)
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            words = f"The form has too many files; send at most {most} in one request."
            raise Refusal(400, "too_many_files", words) from None
        raise Refusal(400, "bad_form", f"The form can't be read: {error.message}") from None
    except (KeyError, ValueError, MultipartParseError):
        raise Refusal(400, "bad_form", "The form can't be read.") from None
    finally:
        given_up.set()
    found: dict[str, list[bytes]] = {"file": [], "files": []}
    for name, value in form.multi_items():
        if name not in found:
            raise Refusal(422, "unknown_field", "The form has a field of another name than file or files.")
        if not isinstance(value, UploadFile):
            raise Refusal(
                422, "not_a_file", f"The field {name} is text; send it as a file (filename=...), not as text."
            )
        found[name].append(await value.read())
        await value.close()  # else it would be in memory twice
    if found["file"] and found["files"]:
        raise Refusal(422, "both_fields", "Send the field file or the field files, not both.")
    if len(found["file"]) > 1:
        raise Refusal(
            422, "several_in_file", f"The field file takes one picture; send up to {most} in the field files."
        )
    if not (found["file"] or found["files"]):
        raise Refusal(422, "no_file", f"Send one picture in the field file, or up to {most} in the field files.")
    return found


class WholeForm(MultiPartParser):
    """A form's parser that knows whether the last boundary came: without it a file may be missing, or a part of one."""

    whole = False

    def on_end(self) -> None:
        self.whole = True


def _form(kind: str, body: Body, most: int, given_up: threading.Event) -> FormData:
    """A multipart form of at most so many files, off the event loop: a body can be made to take the parser a minute.

    kind: its Content-Type.
    """

    async def stream() -> AsyncIterator[bytes]:
        for piece in body.pieces():
            if given_up.is_set():
                raise MultiPartException("Nobody waits for it.")
            yield piece

    parser = WholeForm(_of_boundary(kind), stream(), max_files=most, max_fields=most, max_part_size=TEXT)
    parser.spool_max_size = body.size + 1  # it would write larger files to a disk
    try:
        parser.parse().send(None)  # an event loop of its own would cost more than the parsing of a small form
    except StopIteration as parsed:
        if not parser.whole:
            raise MultiPartException("it ends before its last boundary.") from None
        return parsed.value
    raise RuntimeError("a form waited, though all of it is there and its files stay in memory")


def _of_boundary(kind: str) -> Headers:
    """A form's Content-Type of its boundary alone: of each unknown charset Python would keep the name for ever."""
    boundary = parse_options_header(kind)[1].get(b"boundary")
    if boundary is None:
        return Headers({"content-type": "multipart/form-data"})
    quoted = boundary.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')
    return Headers({"content-type": f'multipart/form-data; boundary="{quoted}"'})


async def unless_gone(request: Request, work: "asyncio.Task", seconds: float) -> object:
    """What `work` gives; it is cancelled when the client leaves (Gone) or the time is up (Refusal)."""
    leaving = asyncio.ensure_future(_left(request))
    try:
        done, _ = await asyncio.wait({work, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if work in done:
            return work.result()
        if leaving in done:
            raise Gone
        raise Refusal(503, "too_long", f"There was no answer after {seconds} s; try again.", retry=5)
    finally:
        leaving.cancel()
        work.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
