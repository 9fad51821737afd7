"""Connections that no client can use to stop the event loop or to stay for ever: uvicorn's HTTP/1.1, bounded."""

import asyncio
import resource

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

READ = 1 << 14  # bytes parsed before others get their turn
CHUNKS, MEAN = 500, 256  # a body comes in at most so many chunks, or in chunks of so many bytes on average
TOO_SMALL = "The body comes in too many small chunks; send larger ones, or its length ahead."


def most() -> int:
    """Connections at one time, a quarter of the files that may be open.

    Each may need a second descriptor, for the file that it is answered from; those over the bound keep theirs until
    they are closed.
    """
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4


def protocol(head_seconds: float, answer_seconds: float, most: int) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1 with deadlines for a request's head and for an answer to be taken, and bounds.

    uvicorn's own deadline for a head ends with the first byte of one, and it has none for answers. Connections over
    `most` are closed as they come: without descriptors left, none could be accepted to be closed.
    """

    class Bounded(H11Protocol, asyncio.BufferedProtocol):
        head: asyncio.TimerHandle | None = None
        answer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.conn, self.buffer = Counted(h11.SERVER), bytearray(READ)
            transport.set_write_buffer_limits(0)  # so that any byte of an answer that is not taken is known of
            if len(self.connections) > most:
                transport.abort()
            self.watch()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data_received(bytes(self.buffer[:nbytes]))
            self.watch()

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # idle: that was no head
                super().send_400_response(TOO_SMALL if self.conn.too_small() else msg)
            else:  # it has been answered already
                self.transport.abort()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self.watch()

        def pause_writing(self) -> None:
            super().pause_writing()
            self.answer = self.loop.call_later(answer_seconds, self.transport.abort)  # close() would wait as well

        def resume_writing(self) -> None:
            super().resume_writing()
            self.answer.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.forget()
            if self.answer is not None:
                self.answer.cancel()

        def watch(self) -> None:
            """Start the deadline where a head, or what is left of a body already answered, is waited for."""
            if self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE:
                self.forget()
            elif self.head is None and not self.transport.is_closing():
                self.head = self.loop.call_later(head_seconds, self.transport.close)

        def forget(self) -> None:
            if self.head is not None:
                self.head.cancel()
                self.head = None

    return Bounded


class Counted(h11.Connection):
    """Counts the chunks of the request that comes in, and their bytes; each takes as long as hundreds of bytes do.

    Without chunks, what it gives are the bytes that came in at one time, however a network parts them.
    """

    chunked = False
    chunks = size = 0

    def next_event(self) -> object:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            self.chunks = self.size = 0
        elif self.chunked and isinstance(event, h11.Data):
            self.chunks += 1
            self.size += len(event.data)
            if self.too_small():
                raise h11.RemoteProtocolError(TOO_SMALL)
        return event

    def too_small(self) -> bool:
        return self.chunks > CHUNKS + self.size / MEAN
