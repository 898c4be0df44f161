"""Connections: how many there are, and how long one may keep the server waiting."""

import asyncio
import resource
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from fast_style.errors import UserError

BACKLOG = 256  # connections that the system keeps until they are accepted, all at once at most
OTHER_FILES = 128  # of the process: models, temporary files, what Python has open
# What one connection sends in its turn: parsing chunks of one byte each takes long enough.
BYTES_AT_ONCE = 65_536
REFUSAL = b'{"error": "too many connections; try again"}'
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(REFUSAL), REFUSAL)
)


@dataclass(frozen=True)
class ConnectionLimits:
    """What connections may take. How long a body may take is a request's (limits.py)."""

    most: int = 1000
    header_seconds: float = 10.0
    answer_seconds: float = 60.0  # until the client has taken all of an answer


@dataclass
class Connections:
    """Those of one server; it is uvicorn's `http`, which makes one for each client."""

    limits: ConnectionLimits
    # Without a whole request, the longest waiting first.
    incomplete: dict["Connection", None] = field(default_factory=dict)

    def __call__(self, **of_uvicorn: Any) -> "Connection":
        return Connection(self, **of_uvicorn)

    def make_room(self) -> bool:
        """Close the one that has waited longest for its request; False where all are served."""
        for connection in self.incomplete:
            if not connection.transport.get_write_buffer_size():
                del self.incomplete[connection]
                connection.transport.close()
                return True
        return False


class Connection(H11Protocol):
    """uvicorn's, which has no limit but for idle connections between requests."""

    def __init__(self, all_of_them: Connections, **of_uvicorn: Any):
        super().__init__(**of_uvicorn)
        self.all_of_them = all_of_them
        self.limits = all_of_them.limits
        self.header_timer: asyncio.TimerHandle | None = None
        self.answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        transport.max_size = BYTES_AT_ONCE
        super().connection_made(transport)
        if len(self.connections) > self.limits.most and not self.all_of_them.make_room():
            transport.write(FULL)
            transport.close()
        else:
            self._note()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._give_time_to_take_the_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self.answer_timer)
        if self.transport.is_closing():  # once the last bytes are taken
            self._give_time_to_take_the_answer()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self.header_timer)
        _cancel(self.answer_timer)
        self.all_of_them.incomplete.pop(self, None)
        super().connection_lost(exc)

    def _note(self) -> None:
        """Whether this connection waits for a header, for a body, or is served."""
        between = self.cycle is None or self.cycle.response_complete
        if not between:
            _cancel(self.header_timer)
            self.header_timer = None
        elif not self.header_timer:
            self.header_timer = self.loop.call_later(self.limits.header_seconds, self._end)
        if self.transport.is_closing() or not (between or self.cycle.more_body):
            self.all_of_them.incomplete.pop(self, None)
        else:
            self.all_of_them.incomplete.setdefault(self)

    def _end(self) -> None:
        self.transport.close()  # when what is written has been taken, which may be never
        self._give_time_to_take_the_answer()

    def _give_time_to_take_the_answer(self) -> None:
        _cancel(self.answer_timer)
        self.answer_timer = self.loop.call_later(self.limits.answer_seconds, self.transport.abort)


def allow_connections(most: int) -> None:
    """Raise the process's limit of open files to what so many connections need.

    Raises UserError where the system does not allow it.
    """
    needed = most + BACKLOG + OTHER_FILES
    allowed, may_be = resource.getrlimit(resource.RLIMIT_NOFILE)
    if may_be != resource.RLIM_INFINITY and needed > may_be:
        raise UserError(
            f"--max-connections {most}: needs {needed} open files, and {may_be} are allowed "
            f"(ulimit -n); at most {max(1, may_be - needed + most)} connections fit"
        )
    if allowed != resource.RLIM_INFINITY and needed > allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, may_be))


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer:
        timer.cancel()
