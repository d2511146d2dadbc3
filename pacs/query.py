"""The one search path, for C-FIND and QIDO-RS: who asks, what, and the answers one by one."""

from __future__ import annotations

from collections.abc import Iterator

from pacs.index import Index
from pacs.model import DicomJson, Principal, Query


class Search:
    """Finds patients, studies, series and instances that a principal may see. Threads may share it."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def find(self, principal: Principal, query: Query) -> Iterator[DicomJson]:
        """The matching entities as DICOM JSON (PS3.18 Annex F), with the computed attributes of PS3.18 §10.6.3.

        Only of the principal's hospital. What was stored before the call is found. Text is UTF-8
        (SpecificCharacterSet ISO_IR 192). A key whose attribute is not kept is ignored, see `unsupported_keys`.
        The keys are checked before this returns, rows are read while the iterator is drained, and a reader may stop
        at any time.

        Raises:
            InvalidRequest: the value of a key cannot be understood; the message names the key.
            IndexUnavailable: the database does not answer (also while iterating).
        """
        return self._index.search(principal.hospital, query)

    def unsupported_keys(self, query: Query) -> frozenset[int]:
        """Tags of keys that `find` ignores because nothing is kept to match them on; the door warns of them.

        Raises:
            InvalidRequest: as `find`.
        """
        return self._index.unsupported_keys(query)
