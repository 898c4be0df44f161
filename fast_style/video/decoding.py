"""Decodes packets, and finds the frames that are broken."""

import heapq
from collections.abc import Iterator

import av


class Decoder:
    """Decodes the frames of a video stream, the broken ones included, in the order of display.

    Some decoders skip broken packets without an error. So every packet promises a frame of its
    time, and if a later frame comes first, the promised one is broken.
    """

    def __init__(self, stream: av.VideoStream):
        self.stream = stream
        self._promised: list[int] = []  # a heap of times, in ticks

    def frames(self, packet: av.Packet | None) -> Iterator[tuple[int | None, av.VideoFrame | None]]:
        """Yields the times in ticks (None: unknown) and frames (None: broken) of a packet.

        packet: None after the last one.
        """
        if packet is not None and packet.pts is not None and self._promises(packet):
            heapq.heappush(self._promised, packet.pts)
        try:
            frames = self.stream.decode(packet)
        except av.FFmpegError:
            frames = []
        for frame in frames:
            if frame.pts in self._promised:
                while (ticks := heapq.heappop(self._promised)) < frame.pts:
                    yield ticks, None
            yield frame.pts, None if frame.is_corrupt else frame
        while packet is None and self._promised:
            yield heapq.heappop(self._promised), None

    def _promises(self, packet: av.Packet) -> bool:
        if packet.is_discard or packet.pts in self._promised:
            return False
        # VP8 has frames that are never shown, without bit 4 of their tag (RFC 6386, section 9.1).
        return self.stream.codec_context.name != "vp8" or bool(bytes(packet)[0] & 0x10)
