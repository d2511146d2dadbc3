"""Coercion: the changed instance is stored and served, what came is kept beside it (``ingest.coercion``)."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from pacs import log
from pacs.errors import CoercionImpossible, StorageError
from pacs.index.add import Existing
from pacs.ingest.coercion_rules import Rule, rules
from pacs.ingest.description import Description, memory_for
from pacs.ingest.duplicates import Commit
from pacs.ingest.reception import ExpectedIdentity, Keeper, Reception
from pacs.model import Outcome, Source, Stored, Succession
from pacs.part10.attribute_changes import Modification, Piece, changed
from pacs.part10.elements import tag_text
from pacs.part10.header import scan
from pacs.part10.transfer_syntax import transfer_syntax
from pacs.settings import IngestSettings

_STEP_BYTES = 1 << 20
_MILLISECOND_US = 1000

Begin = Callable[[Source, str, ExpectedIdentity, Keeper], Reception]
"""Begins a reception whose bytes go to the given keeper."""
IsKept = Callable[[str, str, str, str], bool]
"""Whether the bytes (hospital, SOP Instance UID, digest of the data set, transfer syntax) are kept already."""


class Coercion:
    """Thread-safe. Raises `pacs.settings.InvalidSettings` for rules that cannot be followed."""

    def __init__(self, settings: IngestSettings, system: str) -> None:
        self._rules = rules(settings)
        self._settings = settings
        self._system = system

    def of(self, source: Source, begin: Begin, commit: Commit, is_kept: IsKept) -> CoercingCommit | None:
        """What commits an instance from `source`; None where nothing is to be changed, as almost always."""
        found = [rule for rule in self._rules if rule.is_for(source)]
        return CoercingCommit(found, self._settings, self._system, begin, commit, is_kept) if found else None


class CoercingCommit:
    """Commits one instance as its original and its coerced version, in that order; alone when nothing differs."""

    def __init__(
        self,
        found: list[Rule],
        settings: IngestSettings,
        system: str,
        begin: Begin,
        commit: Commit,
        is_kept: IsKept,
    ) -> None:
        self.tags: tuple[int, ...] = ()
        """Of the attributes that were changed; what was stored has them."""
        self._rules = found
        self._settings = settings
        self._system = system
        self._begin = begin
        self._commit = commit
        self._is_kept = is_kept
        self._is_original_large = False

    def __call__(self, reception: Reception, description: Description) -> Existing | None:
        """As `pacs.ingest.duplicates.Commit`.

        Raises:
            CoercionImpossible: nothing was stored.
            What the commit of an instance raises.
        """
        if self._is_original_large:
            raise StorageError("other bytes of this instance were stored at the same moment; send it again")
        keeper = _CoercedKeeper(self._commit)
        source, key = reception.source, description.key
        expected = ExpectedIdentity(description.sop_class_uid, key.sop_instance_uid, key.study_instance_uid)
        with self._begin(source, description.transfer_syntax_uid, expected, keeper) as coerced:
            tags = self._write(reception, description, coerced)
            if not tags:
                return self._commit(reception, description)
            received_at_us = description.received_at_us or time.time_ns() // 1_000_000 * _MILLISECOND_US
            before = description.succession.replaces if description.succession is not None else ()
            self._is_original_large = reception.large is not None
            # An attempt that failed half way has left its original, durable and with its row: no second copy.
            if not self._is_kept(
                key.hospital, key.sop_instance_uid, description.digest, description.transfer_syntax_uid
            ):
                existing = self._commit(
                    reception,
                    replace(description, succession=Succession(is_original=True), received_at_us=received_at_us),
                )
                if existing is not None:
                    return existing
            keeper.succession = Succession((*before, description.digest))
            keeper.received_at_us = received_at_us + _MILLISECOND_US
            coerced.commit()
        if keeper.existing is None:
            self.tags = tags
            log.warning(
                "instance coerced",
                route=source.route,
                principal=source.principal.name,
                hospital=key.hospital,
                study_instance_uid=key.study_instance_uid,
                series_instance_uid=key.series_instance_uid,
                sop_instance_uid=key.sop_instance_uid,
                original_digest=description.digest,
                digest=keeper.digest,
                attributes=[tag_text(tag) for tag in tags],
            )
        return keeper.existing

    def _write(self, reception: Reception, description: Description, coerced: Reception) -> tuple[int, ...]:
        """Write the changed data set into `coerced`; the tags that differ, none when nothing does."""
        syntax_uid = description.transfer_syntax_uid
        with memory_for(syntax_uid):
            content = reception.data_set()
            header = scan(content, syntax_uid, max_inflated_bytes=self._settings.max_inflated_bytes)
            values: dict[int, bytes | None] = {}
            for rule in self._rules:
                values |= rule.values(header)
            if not values:
                return ()
            source = reception.source.principal.name if reception.source.route == "C-STORE" else ""
            try:
                pieces = changed(header, values, Modification(datetime.now(UTC), self._system, source))
            except ValueError as problem:
                raise CoercionImpossible(f"the instance cannot be coerced: {problem}") from None
            if transfer_syntax(syntax_uid).is_deflated:
                pieces = _deflated(pieces)
            for piece in pieces:
                for start in range(0, len(piece), _STEP_BYTES):
                    coerced.write(piece[start : start + _STEP_BYTES])
        return tuple(sorted(values))


class _CoercedKeeper:
    """Commits the coerced version as what succeeds its original."""

    def __init__(self, commit: Commit) -> None:
        self.succession = Succession()
        self.received_at_us = 0
        self.existing: Existing | None = None
        self.digest = ""
        self._commit = commit

    def keep(self, reception: Reception, description: Description) -> Stored:
        self.digest = description.digest
        self.existing = self._commit(
            reception, replace(description, succession=self.succession, received_at_us=self.received_at_us)
        )
        return Stored(description.key, description.sop_class_uid, Outcome.STORED)


def _deflated(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Deflated as PS3.5 A.5 has it, even in length."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    length = 0
    for piece in pieces:
        for start in range(0, len(piece), _STEP_BYTES):
            made = compressor.compress(piece[start : start + _STEP_BYTES])
            length += len(made)
            if made:
                yield made
    rest = compressor.flush()
    yield rest + b"\0" * ((length + len(rest)) % 2)
