"""Metadata as the text that is sent: one JSON array, with the archive's address in it, compressed or not. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence

from pacs.storage.compressed_template import SLOT, SLOT_BYTES, Template, gzip_pieces, text_pieces

_AT_ONCE_BYTES = 4 << 20
"""More is inflated piece by piece while it is sent, so that a request holds little memory."""
_GZIP_LEVEL = 6
_GZIP_WINDOW = 31


class ArrayOfMetadata:
    """Objects of instances, in `texts` with commas between those of one text, as an array."""

    def __init__(self, texts: Sequence[Template | bytes], base: str) -> None:
        """`base` is the address of the service, as a bulk data URI begins with it."""
        self._address = json.dumps(base, ensure_ascii=False)[:-1].encode("utf-8", "replace")
        fits = len(self._address) <= SLOT_BYTES
        # White space before a string changes nothing in JSON.
        self._fill = self._address.rjust(SLOT_BYTES) if fits else SLOT
        self._texts: list[Template | bytes] = [b"["]
        for number, text in enumerate(texts):
            if number:
                self._texts.append(b",")
            self._texts.append(text.replace(SLOT, self._fill) if isinstance(text, bytes) else text)
        self._texts.append(b"]")
        if not fits:
            # Rare, so it may cost an inflating and compressing of everything.
            whole = b"".join(text_pieces(self._texts, self._fill))
            self._texts = [whole.replace(SLOT, self._address)]

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return sum(len(text) if isinstance(text, bytes) else text.size for text in self._texts)

    @property
    def is_long(self) -> bool:
        return self.size > _AT_ONCE_BYTES

    def pieces(self) -> Iterator[bytes]:
        """The array in UTF-8."""
        return text_pieces(self._texts, self._fill)

    def compressed(self) -> list[bytes | memoryview]:
        """The array as one gzip file; of what is kept compressed nothing is inflated. The same bytes each time."""
        if all(isinstance(text, bytes) for text in self._texts):
            return [zlib.compress(b"".join(self.pieces()), _GZIP_LEVEL, _GZIP_WINDOW)]
        return gzip_pieces(self._texts, self._fill)
