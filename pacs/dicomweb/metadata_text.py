"""Metadata as the text that is sent, with the archive's address in it, compressed or not. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import quoteattr

from pacs.dicomweb.multipart import closing
from pacs.metadata import Form
from pacs.part10.xml_text import BOUNDARY
from pacs.storage.compressed_template import SLOT, SLOT_BYTES, Template, gzip_pieces, text_pieces

_AT_ONCE_BYTES = 4 << 20
"""More is inflated piece by piece while it is sent, so that a request holds little memory."""
_GZIP_LEVEL = 6
_GZIP_WINDOW = 31


class TextOfMetadata:
    """Instances in a form, ``texts`` of one or several each, with what it has before, between and behind them."""

    def __init__(
        self, form: Form, texts: Sequence[Template | bytes], base: str, *, is_one_document: bool = False
    ) -> None:
        """`base` is the address of the service, as a bulk data URI begins with it. `is_one_document`: of one instance
        in XML, without multipart."""
        self._address = _address(form, base)
        fits = len(self._address) <= SLOT_BYTES
        # Further white space before a string in JSON, or an attribute in XML, changes nothing.
        self._fill = self._address.rjust(SLOT_BYTES) if fits else SLOT
        before, behind = _around(form) if not is_one_document else (b"", b"")
        self._texts: list[Template | bytes] = [before]
        for number, text in enumerate(texts):
            if number:
                self._texts.append(form.between)
            self._texts.append(text.replace(SLOT, self._fill) if isinstance(text, bytes) else text)
        self._texts.append(behind)
        if not fits:
            # Rare, so it may cost an inflating and compressing of everything.
            whole = b"".join(text_pieces(self._texts, self._fill))
            self._texts = [whole.replace(SLOT, self._address)]

    @property
    def size(self) -> int:
        """Bytes of the text."""
        return sum(len(text) if isinstance(text, bytes) else text.size for text in self._texts)

    @property
    def is_long(self) -> bool:
        return self.size > _AT_ONCE_BYTES

    def pieces(self) -> Iterator[bytes]:
        """The text in UTF-8."""
        return text_pieces(self._texts, self._fill)

    def compressed(self) -> list[bytes | memoryview]:
        """The text as one gzip file; of what is kept compressed nothing is inflated. The same bytes each time."""
        if all(isinstance(text, bytes) for text in self._texts):
            return [zlib.compress(b"".join(self.pieces()), _GZIP_LEVEL, _GZIP_WINDOW)]
        return gzip_pieces(self._texts, self._fill)


def _address(form: Form, base: str) -> bytes:
    if form is Form.JSON:
        return json.dumps(base, ensure_ascii=False)[:-1].encode("utf-8", "replace")
    return f' uri="{quoteattr(base, {chr(34): "&quot;"})[1:-1]}'.encode("utf-8", "replace")


def _around(form: Form) -> tuple[bytes, bytes]:
    if form is Form.JSON:
        return b"[", b"]"
    return form.between.removeprefix(b"\r\n"), closing(BOUNDARY)
