"""Bodies of store requests in the content coding gzip (PS3.18 Table 10.5.1-2, RFC 1952), inflated as they come. Pure.

Memory is bounded whatever comes, and so is what a body may grow to for its size.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from pacs.dicomweb.multipart import Event
from pacs.dicomweb.store_request import PartReader
from pacs.errors import ProtocolViolation

PIECE_BYTES: Final = 1 << 18
FREE_BYTES: Final = 64 << 20
"""That any body may inflate to; beyond it `MOST_TIMES` its own size. Empty segmentations shrink to a hundredth."""
MOST_TIMES: Final = 200
_STEP_BYTES: Final = 1 << 13
"""Taken at a time: what lies behind the end of a file in it is copied, and files may be tiny."""
_GZIP_WINDOW: Final = 31


class InflatingReader:
    """Reads parts of what a gzip body holds.

    Raises:
        ProtocolViolation: from `feed` and `close`, also when the body is not gzip, is torn, or inflates to too much.
    """

    def __init__(self, reader: PartReader) -> None:
        self._reader = reader
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        self._received_bytes = 0
        self._inflated_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """As that of the reader; the iterator must be used up before the next call."""
        self._received_bytes += len(chunk)
        for piece in self._inflated(chunk):
            self._inflated_bytes += len(piece)
            if self._inflated_bytes > FREE_BYTES + MOST_TIMES * self._received_bytes:
                raise ProtocolViolation(
                    f"The body inflates to more than {MOST_TIMES} times its size; send it without Content-Encoding"
                )
            yield from self._reader.feed(piece)

    def close(self) -> Sequence[Event]:
        """As that of the reader."""
        if self._received_bytes and not self._inflater.eof:
            raise ProtocolViolation("The gzip body is torn; it was cut off on the way")
        return self._reader.close()

    def _inflated(self, chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), _STEP_BYTES):
            yield from self._inflated_step(chunk[start : start + _STEP_BYTES])

    def _inflated_step(self, data: bytes) -> Iterator[bytes]:
        is_more = True
        while is_more:
            if self._inflater.eof:  # one file behind the other is one (RFC 1952 §2.2)
                self._inflater = zlib.decompressobj(_GZIP_WINDOW)
            try:
                piece = self._inflater.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise ProtocolViolation("The body is not gzip, as its Content-Encoding says") from None
            yield piece
            data = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            # What came is all taken, and still more may be waiting to come out.
            is_more = bool(data) or (len(piece) == PIECE_BYTES and not self._inflater.eof)
