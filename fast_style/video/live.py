"""The newest frame of a camera, or of a clip that is played as one."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from fast_style.video.reading import Clip, Part


class Live(contextlib.AbstractContextManager["Live"]):
    """An iterable of the newest Part of a live clip, for one pass. No frame waits for another.

    A thread reads the clip; a file at the speed at which it plays. Frames that a newer one has
    replaced before they are asked for are `dropped`; the packets of other streams are kept.
    """

    def __init__(self, clip: Clip):
        self.clip = clip
        self.taken = self.dropped = 0  # frames
        self._first_taken = self._last_taken = 0.0  # seconds of the clock
        self._newest: Part | None = None
        self._has_ended = False
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._thread = ThreadPoolExecutor(1, "live")

    def __exit__(self, *_error: object) -> None:
        self._leaving.set()
        self._thread.shutdown()

    def __iter__(self) -> Iterator[Part]:
        reading = self._thread.submit(self._read)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._has_ended)
                part, self._newest = self._newest, None
            if part is None:
                reading.result()  # raises what the thread raised
                return
            if part.content is not None:
                self.taken += 1
                self._last_taken = time.monotonic()
                self._first_taken = self._first_taken or self._last_taken
            yield part

    @property
    def rate(self) -> float:
        """How many frames were taken per second; 0 if there were fewer than two."""
        seconds = self._last_taken - self._first_taken
        return (self.taken - 1) / seconds if seconds else 0.0

    def _read(self) -> None:
        try:
            started = time.monotonic()
            for part in self.clip:
                if part.content is not None and not self.clip.is_camera:
                    due = started + float(part.time * self.clip.time_base)
                    self._leaving.wait(max(0.0, due - time.monotonic()))
                if self._leaving.is_set():
                    return
                with self._changed:
                    self._newest = part if self._newest is None else self._newer(self._newest, part)
                    self._changed.notify()
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify()

    def _newer(self, before: Part, part: Part) -> Part:
        packets = [*before.packets, *part.packets]
        if part.content is None:
            return replace(before, packets=packets)
        self.dropped += before.content is not None
        return replace(part, packets=packets)
