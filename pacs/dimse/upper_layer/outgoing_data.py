"""P-DATA-TF on the way out (PS3.8 §9.3.5): headers between slices of the caller's buffers, nothing copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pacs.dimse.upper_layer.pdu import HEADER, PDV_HEADER, PduType

LEAST_MAX_PDU_LENGTH = 256
"""A peer that takes less than this per P-DATA-TF is refused: headers would outweigh the data."""
_LARGEST_FRAGMENT = 1 << 20


def data_pdus(
    context_id: int, is_command: bool, buffers: Sequence[bytes | memoryview], max_pdu_length: int
) -> Iterator[list[bytes | memoryview]]:
    """Cut `buffers`, taken as one run of bytes, into P-DATA-TF with one fragment each.

    `max_pdu_length` is the peer's (0: no limit). Fragments have an even length as long as the whole has.
    """
    left = sum(len(buffer) for buffer in buffers)
    largest = min(max_pdu_length - PDV_HEADER.size if max_pdu_length else _LARGEST_FRAGMENT, _LARGEST_FRAGMENT) & ~1
    slices = _Slices(buffers)
    while True:
        size = min(left, largest)
        left -= size
        control = (1 if is_command else 0) | (0 if left else 2)
        head = HEADER.pack(PduType.DATA_TF, size + PDV_HEADER.size) + PDV_HEADER.pack(size + 2, context_id, control)
        yield [head, *slices.take(size)]
        if not left:
            return


class _Slices:
    def __init__(self, buffers: Sequence[bytes | memoryview]) -> None:
        self._views = iter([memoryview(buffer) for buffer in buffers])
        self._view = memoryview(b"")

    def take(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._view:
                self._view = next(self._views)
                continue
            piece = self._view[:size]
            self._view = self._view[len(piece) :]
            size -= len(piece)
            yield piece
