"""The one search path, for C-FIND and QIDO-RS: who asks, what, and the answers one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pacs.index import Index
from pacs.index.allowance import Allowance
from pacs.index.keys import criteria
from pacs.index.matching_items import asked_sequences, with_matching_items
from pacs.index.private_creators import private_creators, with_creators
from pacs.measured import stages
from pacs.model import DicomJson, Level, Principal, Query
from pacs.settings import SearchSettings
from pacs.turns import Turns


class Search:
    """Finds patients, studies, series and instances that a principal may see. Threads may share it.

    A search has a deadline, and a hospital takes only so many of the places of its process at a time.
    """

    def __init__(self, index: Index, settings: SearchSettings | None = None) -> None:
        settings = settings or SearchSettings()
        self.max_results = settings.max_results
        """Most results of one answer; the door tells when there are more."""
        self._index = index
        self._deadline_s = settings.deadline_s
        self._turns = Turns(
            at_once=settings.at_once_per_hospital,
            waiting=settings.waiting_per_hospital,
            wait_s=settings.deadline_s,
        )

    def find(self, principal: Principal, query: Query, *, client: str = "") -> Iterator[DicomJson]:
        """The matching entities as DICOM JSON (PS3.18 Annex F), with the computed attributes of PS3.18 §10.6.3.

        Only of the principal's hospital. Of a sequence inside which keys ask for values, the items that meet them
        (PS3.4 C.2.2.2.6), and with a private attribute its creator. What was stored before the call is found.
        Text is UTF-8 (SpecificCharacterSet ISO_IR 192). A key whose attribute is not kept is ignored, see
        `unsupported_keys`. The keys are checked before this returns, rows are read while the iterator is drained, and
        a reader may stop at any time. `client` tells apart who pages by one name; see `pacs.index.page_marks`.

        Raises:
            InvalidRequest: the value of a key cannot be understood; the message names the key.
            TooBroad: it took longer than `search.deadline_s` (also while iterating).
            Busy: too many searches of this hospital wait already (also while iterating).
            IndexUnavailable: the database does not answer (also while iterating).
        """
        if _is_wide(query):
            stages.turned_out("wide")
        allowance = Allowance(self._deadline_s, lambda: self._turns.of(principal.hospital))
        reader = f"{principal.name}\n{client}"
        found = self._index.search(principal.hospital, query, reader=reader, allowance=allowance)
        if sequences := asked_sequences(criteria(query)):
            found = (with_matching_items(one, sequences) for one in found)
        if creators := private_creators(query, self._index.searchable):
            found = (with_creators(one, creators) for one in found)
        return found

    def unsupported_keys(self, query: Query) -> frozenset[int]:
        """Tags of keys that `find` ignores because nothing is kept to match them on; the door warns of them.

        Raises:
            InvalidRequest: as `find`.
        """
        return self._index.unsupported_keys(query)

    def unanswered_fields(self, tags: Iterable[int], level: Level) -> frozenset[int]:
        """Those of the attributes that answers at `level` never hold, because nothing is kept of them; the door warns
        of them."""
        wanted = frozenset(tags)
        return wanted - self._index.answered_fields(wanted, level)

    def incomplete_keys(self, query: Query) -> frozenset[int]:
        """Tags of keys by which `find` cannot find all yet, because an operator made them searchable a short while ago.

        Raises:
            InvalidRequest: as `find`.
        """
        return self._index.incomplete_keys(query)

    def searchable_keys(self, query: Query) -> frozenset[int]:
        """Tags of keys, with values or without, on attributes that an operator made searchable."""
        return self._index.searchable_keys(query)


def _is_wide(query: Query) -> bool:
    """Whether the beginning of values does not narrow it: a wild card in front of more, or names that sound alike."""
    return query.is_fuzzy or any(
        value[:1] in ("*", "?") and value != "*" for match in query.matches for value in match.values
    )
