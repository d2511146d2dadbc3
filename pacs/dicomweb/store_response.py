"""The answer to a store request (PS3.18 §10.5.3, Annex I.2). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacs import errors
from pacs.dicomweb.http_errors import status_of
from pacs.dicomweb.resources import ResourceKey
from pacs.model import DicomJson, Outcome, Stored
from pacs.part10.elements import tag_text

FAILURE_REASON: Mapping[type[errors.PacsError], int] = {
    errors.PacsError: 0x0110,
    errors.IdentityMismatch: 0xA900,
    errors.PeerFault: 0xC000,
    errors.UnsupportedMedia: 0xC122,
    errors.TooLarge: 0xA700,
    errors.Conflict: 0x0111,
    errors.StorageFull: 0xA700,
    errors.Busy: 0xA700,
    errors.Refused: 0x0124,
}
"""PS3.18 Table I.2-2 and PS3.7 Annex C: processing failure, does not match, cannot understand, out of resources ..."""

_CREATOR = "PACS"
MAX_REPORTED_FAILURES = 10_000
"""With their reason in words. Beyond it, failed instances are listed without, and parts of no instance are counted."""


@dataclass(frozen=True, slots=True)
class Failed:
    """One instance, or one part, that was not stored."""

    error: errors.PacsError
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    """As its file meta information or metadata claims them; empty when that could not be read."""


@dataclass(frozen=True, slots=True)
class Warned:
    """An instance that was stored, but not with everything that was sent for it."""

    stored: Stored
    text: str


Result = Stored | Warned | Failed
ELEMENTS_DISCARDED = 0xB006
"""Warning Reason of `Warned` (PS3.18 Table I.2-1)."""
COERCED = 0xB000
"""Warning Reason of an instance that `ingest.coercion` changed (PS3.18 Table I.2-1)."""


def failure_reason(error: errors.PacsError) -> int:
    """The Failure Reason (0008,1197) of an error."""
    return next((FAILURE_REASON[kind] for kind in type(error).__mro__ if kind in FAILURE_REASON), 0x0110)


def store_status(results: Sequence[Result]) -> int:
    """The HTTP status of PS3.18 Table 10.5.3-1: 200 all, 202 some or with warnings.

    For none the status that all failures share, else 409.
    """
    failures = [result for result in results if isinstance(result, Failed)]
    stored = [result for result in results if not isinstance(result, Failed)]
    if not failures:
        return 202 if any(isinstance(result, Warned) or _kept(result).coerced for result in stored) else 200
    if len(failures) < len(results):
        return 202
    statuses = {status_of(failure.error) for failure in failures}
    return statuses.pop() if len(statuses) == 1 else 409


def store_response(results: Sequence[Result], base: str, study_instance_uid: str | None) -> DicomJson:
    """The Store Instances Response of PS3.18 Table I.1-1, in the DICOM JSON Model.

    The text of each error stands in a private attribute, (0009,1001) of creator "PACS", because the standard has none
    for it.
    """
    stored = [result for result in results if not isinstance(result, Failed)]
    named = [result for result in results if isinstance(result, Failed) and result.sop_instance_uid]
    others = [result for result in results if isinstance(result, Failed) and not result.sop_instance_uid]
    answer: DicomJson = {}
    studies = {_kept(result).key.study_instance_uid for result in stored}
    if study_instance_uid is None and len(studies) == 1:
        (study_instance_uid,) = studies
    if study_instance_uid is not None and studies:
        answer["00081190"] = {"vr": "UR", "Value": [base + ResourceKey(study_instance_uid).path]}
    if named:
        answer["00081198"] = {"vr": "SQ", "Value": [_failure(failure, number) for number, failure in enumerate(named)]}
    if stored:
        answer["00081199"] = {"vr": "SQ", "Value": [_reference(result, base) for result in stored]}
    if others:
        answer["0008119A"] = {"vr": "SQ", "Value": [_failure(failure) for failure in others[:MAX_REPORTED_FAILURES]]}
    if unlisted := unlisted_failures(results):
        answer |= _text(unlisted)
    return answer


def stored_location(results: Sequence[Result], base: str) -> str:
    """The URL of what was stored (PS3.18 Table 10.5.3-2): of one instance, or of the one study of several; empty when
    nothing was, or studies are several."""
    keys = {_kept(result).key for result in results if not isinstance(result, Failed)}
    if len(keys) == 1:
        return base + ResourceKey.of_instance(keys.pop()).path
    studies = {key.study_instance_uid for key in keys}
    return base + ResourceKey(studies.pop()).path if len(studies) == 1 else ""


def unlisted_failures(results: Sequence[Result]) -> str:
    """What to say of failures that `store_response` does not list, as no instance is known of them; empty for none."""
    others = sum(isinstance(result, Failed) and not result.sop_instance_uid for result in results)
    left = others - MAX_REPORTED_FAILURES
    return f"{left} further parts failed and are not listed; none of them names an instance" if left > 0 else ""


def _kept(result: Stored | Warned) -> Stored:
    return result.stored if isinstance(result, Warned) else result


def _reference(result: Stored | Warned, base: str) -> dict[str, Any]:
    stored = _kept(result)
    key = stored.key
    path = ResourceKey.of_instance(key).path
    item: dict[str, Any] = {
        "00081150": {"vr": "UI", "Value": [stored.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [key.sop_instance_uid]},
        "00081190": {"vr": "UR", "Value": [base + path]},
    }
    if isinstance(result, Warned):
        item["00081196"] = {"vr": "US", "Value": [ELEMENTS_DISCARDED]}
        item |= _text(result.text)
    elif stored.coerced:
        item["00081196"] = {"vr": "US", "Value": [COERCED]}
        tags = ", ".join(map(tag_text, stored.coerced))
        item |= _text(f"The archive changed {tags}; what was sent is kept as an earlier version.")
    elif stored.outcome is Outcome.ALREADY_THERE:
        item |= _text("The same instance was stored before; one copy is kept.")
    return item


def _failure(failed: Failed, number: int = 0) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if failed.sop_class_uid:
        item["00081150"] = {"vr": "UI", "Value": [failed.sop_class_uid]}
    if failed.sop_instance_uid:
        item["00081155"] = {"vr": "UI", "Value": [failed.sop_instance_uid]}
    item["00081197"] = {"vr": "US", "Value": [failure_reason(failed.error)]}
    return item | _text(str(failed.error)) if number < MAX_REPORTED_FAILURES else item


def _text(message: str) -> dict[str, Any]:
    return {"00090010": {"vr": "LO", "Value": [_CREATOR]}, "00091001": {"vr": "UT", "Value": [message]}}
