"""Deleting, with a reason; the trash, which undoes it; and erasing what nobody wanted back.

The order is the promise: a note beside the segments first, then the rows in one transaction, then success. Whatever is
killed in between, the notes say what holds, and the index follows them (`follow_notes`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from unicodedata import category

from pacs import log
from pacs.errors import InvalidRequest, NotFound, PacsError, Retained, StorageError
from pacs.index import Index
from pacs.index.trash_rows import Place
from pacs.model import Deletion, DeletionState, Principal, checked_uid
from pacs.settings import LifecycleSettings
from pacs.storage.deletion_notes import DeletedRecord, Note
from pacs.storage.derived import DerivedStore, chosen_thumbnail_name, metadata_name, thumbnail_name, xml_metadata_name
from pacs.storage.segments import SegmentStore
from pacs.video_frames import frames_with_kept_pictures

MAX_REASON_CHARACTERS = 500
READERS_END_AFTER = timedelta(hours=1)
"""Bytes are not erased sooner: an answer that was begun before the deletion is sent from where they lie."""
_HISTORY = (DeletionState.IN_TRASH, DeletionState.ERASING, DeletionState.ERASED, DeletionState.RESTORED)


def checked_reason(text: str | None) -> str:
    """The reason as it is kept.

    Raises:
        InvalidRequest: there is none, it is too long, or it has characters that are no text of one line.
    """
    reason = "".join(" " if category(character) == "Zs" else character for character in text or "").strip()
    if not reason:
        raise InvalidRequest("Deleting wants a reason, which is kept: add ?reason=wrong+patient to the URL")
    if len(reason) > MAX_REASON_CHARACTERS:
        raise InvalidRequest(f"The reason has {len(reason)} characters; {MAX_REASON_CHARACTERS} are kept")
    if not reason.isprintable():
        raise InvalidRequest("The reason has a line end or another control character; write it in one line of text")
    return reason


class Deletions:
    """Thread-safe; processes may share the folder. A principal deletes and restores in its own hospital alone."""

    def __init__(
        self,
        index: Index,
        store: SegmentStore,
        derived: DerivedStore,
        settings: LifecycleSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._index = index
        self._trash = index.trash
        self._store = store
        self._derived = derived
        self._settings = settings
        self._clock = clock

    def delete(
        self,
        principal: Principal,
        study_instance_uid: str,
        series_instance_uid: str | None = None,
        sop_instance_uid: str | None = None,
        *,
        reason: str | None,
        source: str,
    ) -> Deletion:
        """Take a study, or a series or instance of it, out of everybody's sight; it waits in the trash.

        Raises:
            InvalidRequest, InvalidIdentity: no fitting reason, or a UID that is none.
            NotFound: nothing is kept under these UIDs.
            Retained: ``lifecycle.retain_days`` keeps it for now.
            StorageError: nothing was deleted.
        """
        now, hospital = self._clock(), principal.hospital
        deletion = Deletion(
            name=secrets.token_hex(16),
            hospital=hospital,
            study_instance_uid=checked_uid(study_instance_uid, "The study"),
            series_instance_uid=None if series_instance_uid is None else checked_uid(series_instance_uid, "The series"),
            sop_instance_uid=None if sop_instance_uid is None else checked_uid(sop_instance_uid, "The instance"),
            reason=checked_reason(reason),
            principal=principal.name,
            source=source,
            deleted_at=now,
            erase_at=now + max(timedelta(days=self._settings.trash_days), READERS_END_AFTER),
        )
        concerned = self._index.contents.series(hospital, study_instance_uid, series_instance_uid)
        noted: list[Note] = []

        def told(changed: Deletion, places: Sequence[Place]) -> None:
            note = _note(changed, places)
            noted.append(note)
            self._store.deletions.write(note)

        try:
            done = self._trash.put(deletion, told, self._require_old_enough)
        except BaseException:
            self._withdraw(noted)
            raise
        for series in concerned:
            for name in (metadata_name, xml_metadata_name):
                self._forget(hospital, name(study_instance_uid, series.series_instance_uid))
        log.warning("deleted", **_names(done), principal=principal.name, source=source)
        return done

    def restore(
        self,
        principal: Principal,
        name: str,
        *,
        series_instance_uid: str | None = None,
        sop_instance_uid: str | None = None,
    ) -> tuple[int, Deletion]:
        """Undo a deletion, whole or of one series or instance: how many instances came back, and what it is now.

        Those that were sent again since stay as they came; the deleted ones of them stay in the trash.

        Raises:
            NotFound: there is no such deletion, or nothing of these UIDs in it.
            Retained: it is being erased, or was; or it was restored already.
            StorageError: nothing was restored.
        """
        count, now = self._trash.restore(
            principal.hospital, name, self._tell, series_uid=series_instance_uid, sop=sop_instance_uid
        )
        log.warning("restored", **_names(now), restored=count, principal=principal.name)
        return count, now

    def all(self, hospital: str | None, *, with_history: bool = False, limit: int, offset: int = 0) -> list[Deletion]:
        """What is in the trash of a hospital or of all, the newest first; with what was restored or erased."""
        states = _HISTORY if with_history else _HISTORY[:2]
        return self._trash.all(hospital, states=states, limit=limit, offset=offset)

    def one(self, principal: Principal, name: str) -> Deletion:
        """Raises: NotFound."""
        return self._trash.one(principal.hospital, name)

    def erase_early(self, principal: Principal, name: str, *, at_once: bool = False) -> Deletion:
        """Have the background worker erase it as soon as no reader can be at it any more, or at once.

        Raises:
            NotFound, Retained: as `restore`.
        """
        before = self._trash.one(principal.hospital, name)
        at = self._clock() if at_once else max(self._clock(), before.deleted_at + READERS_END_AFTER)
        return self._trash.hasten(principal.hospital, name, at, self._tell)

    def erase_next(self) -> bool:
        """Erase what is due first; False when nothing is. A crash leaves it to be done again, from its note.

        Raises:
            StorageError: it is tried again.
        """
        deletion = self._trash.due(self._clock())
        if deletion is None:
            return False
        if deletion.state is DeletionState.IN_TRASH:
            begun = self._trash.begin_erasing(deletion, self._tell_with_starts)
            if begun is None:
                return True
            deletion = begun
        note = self._store.deletions.read(deletion.hospital, deletion.name, DeletionState.ERASING)
        self._store.erase(note.records)
        self._erase_derived(deletion)
        erased = replace(note.deletion, state=DeletionState.ERASED)
        self._store.deletions.write(replace(note, deletion=erased))
        self._trash.erased(erased)
        log.warning("erased", **_names(erased))
        return True

    def follow_notes(self) -> int:
        """Bring the index to what the notes say, after a crash or when it was made anew; how many differed.

        A deletion that the index knows without a note is noted. Call after `Ingest.recover`.

        Raises:
            StorageError: the index or a note cannot be used.
        """
        known, noted = self._trash.states(), self._store.deletions.states()
        different = 0
        for (hospital, name), state in sorted(noted.items()):
            before = known.get((hospital, name))
            if before is state or (before is None and state is DeletionState.RESTORED):
                continue
            try:
                note = self._store.deletions.read(hospital, name, state)
            except NotFound:
                continue  # another process has just brought it further
            places = [Place(*record[:5]) for record in note.records]
            self._trash.adopt(note.deletion, places, partial(self._is_current, note.deletion))
            different += 1
        for (hospital, name), state in sorted(known.items()):
            if (hospital, name) not in noted and state in _HISTORY[:2]:
                deletion = self._trash.one(hospital, name)
                tell = self._tell if deletion.state is DeletionState.IN_TRASH else self._tell_with_starts
                tell(deletion, self._trash.places(deletion))
                different += 1
        if different:
            log.warning("deletions brought in line with their notes", deletions=different)
        return different

    def _is_current(self, deletion: Deletion) -> bool:
        states = self._store.deletions.states()
        return states.get((deletion.hospital, deletion.name)) is deletion.state

    def _require_old_enough(self, newest_stored_at: datetime) -> None:
        until = newest_stored_at + timedelta(days=self._settings.retain_days)
        if self._settings.retain_days and self._clock() < until:
            raise Retained(
                f"It is kept until {until.isoformat(timespec='minutes')}, {self._settings.retain_days:g} days after its"
                " last image came (setting lifecycle.retain_days)"
            )

    def _tell(self, deletion: Deletion, places: Sequence[Place]) -> None:
        self._store.deletions.write(_note(deletion, places))

    def _tell_with_starts(self, deletion: Deletion, places: Sequence[Place]) -> None:
        note = _note(deletion, places)
        self._store.deletions.write(replace(note, records=self._store.with_starts(note.records)))

    def _withdraw(self, noted: list[Note]) -> None:
        """The deletion failed: its note must not make it true after all."""
        for note in noted[-1:]:
            try:
                self._store.deletions.write(
                    replace(note, deletion=replace(note.deletion, state=DeletionState.RESTORED, instances=0))
                )
            except PacsError as problem:
                log.failure("a deletion that failed stays noted, and is carried out later", problem)

    def _erase_derived(self, deletion: Deletion) -> None:
        for instance in self._trash.instances(deletion):
            key = instance.key
            place = (key.study_instance_uid, key.series_instance_uid)
            for name in (metadata_name, xml_metadata_name, chosen_thumbnail_name):
                self._forget(deletion.hospital, name(*place))
            self._forget(deletion.hospital, chosen_thumbnail_name(*place, key.sop_instance_uid))
            for number in frames_with_kept_pictures(instance):
                self._forget(deletion.hospital, thumbnail_name(instance.digest, number))
            try:
                self._derived.delete_frames(deletion.hospital, instance.digest)
            except StorageError as problem:
                log.failure("derived frames cannot be deleted", problem)

    def _forget(self, hospital: str, name: str) -> None:
        try:
            self._derived.delete(hospital, name)
        except StorageError as problem:
            log.failure("derived object cannot be deleted", problem)


def _note(deletion: Deletion, places: Sequence[Place]) -> Note:
    return Note(deletion, tuple(DeletedRecord(*place) for place in places))


def _names(deletion: Deletion) -> dict[str, object]:
    """For the log, which has no reason: it may be about a patient."""
    return {
        "hospital": deletion.hospital,
        "deletion": deletion.name,
        "study_instance_uid": deletion.study_instance_uid,
        "series_instance_uid": deletion.series_instance_uid or "",
        "sop_instance_uid": deletion.sop_instance_uid or "",
        "instances": deletion.instances,
        "bytes": deletion.stored_bytes,
        "erase_at": deletion.erase_at.isoformat(timespec="seconds"),
    }
