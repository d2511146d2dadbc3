"""Headers that take long to walk, kept: a picture of each of a thousand frames needs the same one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from typing import Final

from pacs.errors import MalformedDataSet
from pacs.part10.header import Header, iter_items, scan

_MOST_HEADERS: Final = 32
_MOST_NESTED: Final = 200_000
"""Nested elements of all that are kept, about 100 bytes each."""
_NOTHING: Final = memoryview(b"")


class KnownHeaders:
    """Where the elements of data sets stand, by digest, without their bytes. Thread-safe."""

    def __init__(self, most_nested: int = _MOST_NESTED) -> None:
        self._most_nested = most_nested
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Header] = OrderedDict()

    def header(self, digest: str, data_set: memoryview, transfer_syntax_uid: str) -> Header:
        """As `scan` of `data_set`, which has this digest and is not deflated; raises as that."""
        key = (digest, transfer_syntax_uid)
        kept = self._kept.get(key)
        if kept is not None:
            return replace(kept, buffer=data_set)
        header = scan(data_set, transfer_syntax_uid)
        if header.took_long:
            _find_items(header)
            if len(header.ends) <= self._most_nested:
                self._keep(key, header)
        return header

    def _keep(self, key: tuple[str, str], header: Header) -> None:
        with self._lock:
            self._kept[key] = replace(header, buffer=_NOTHING)
            nested = sum(len(each.ends) for each in self._kept.values())
            while len(self._kept) > _MOST_HEADERS or nested > self._most_nested:
                _, oldest = self._kept.popitem(last=False)
                nested -= len(oldest.ends)


def _find_items(header: Header) -> None:
    """Remember where the items of all top-level sequences end: the last frame's is found as quickly as the first's."""
    for element in header.elements.values():
        if element.vr == "SQ":
            with suppress(MalformedDataSet):
                for _ in iter_items(header.buffer, element, header.is_little_endian, header.ends):
                    pass
