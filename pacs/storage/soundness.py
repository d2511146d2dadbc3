"""Whether stored bytes still are what was stored: compared with their digest before they are given out."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from pacs.errors import StoredBytesDamaged
from pacs.model import Location

_MAX_REMEMBERED = 100_000
"""Places found sound, about 200 bytes each."""


class Soundness:
    """Remembers what was found sound, so that bytes are read through once per process and not for every frame.

    Thread-safe. Damage that comes later is found by the next process, or by whoever scrubs the storage.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sound: OrderedDict[tuple[Location, str], None] = OrderedDict()

    def require(self, location: Location, digest: str, data_set: memoryview) -> None:
        """Compare `data_set`, which lies at `location`, with its SHA-256. About 1 ms per MB, once.

        Raises:
            StoredBytesDamaged: it is not what was stored.
        """
        name = (location, digest)
        if name in self._sound:
            return
        if hashlib.sha256(data_set).hexdigest() != digest:
            raise StoredBytesDamaged(
                f"the bytes at {location.offset} of segment {location.segment} are not those that were stored there"
            )
        with self._lock:
            self._sound[name] = None
            while len(self._sound) > _MAX_REMEMBERED:
                self._sound.popitem(last=False)
