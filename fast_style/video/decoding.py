"""Packets to frames, and to the places of those that are broken."""

import heapq
from collections.abc import Iterator

import av


class Decoder:
    """The frames of a video stream in the order in which they are shown, the broken ones too.

    Of broken packets some decoders say so, and some pass them over in silence. So a packet is
    taken to promise a frame of its time, which was broken where none has come.
    """

    def __init__(self, stream: av.VideoStream):
        self.stream = stream
        self._promised: list[int] = []  # a heap of ticks

    def frames(self, packet: av.Packet | None) -> Iterator[tuple[int | None, av.VideoFrame | None]]:
        """The ticks (None: not known) and frames (None: broken) that a packet completes.

        After the last packet comes None.
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
        # VP8 has frames for reference alone, without bit 4 of their tag (RFC 6386, section 9.1).
        return self.stream.codec_context.name != "vp8" or bool(bytes(packet)[0] & 0x10)
