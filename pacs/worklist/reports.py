"""What subscribers are told of a change: the event reports of PS3.4 Table CC.2.4-1. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from pacs.model import DicomJson
from pacs.worklist.attributes import key_of
from pacs.worklist.checks import STATE, UPS_PUSH
from pacs.worklist.data_sets import has_value, items_of

GLOBAL_SUBSCRIPTION: Final = "1.2.840.10008.5.1.4.34.5"
FILTERED_GLOBAL_SUBSCRIPTION: Final = "1.2.840.10008.5.1.4.34.5.1"

PROGRESS_INFORMATION: Final = key_of("ProcedureStepProgressInformationSequence")
REASON_FOR_CANCELLATION: Final = key_of("ReasonForCancellation")
DISCONTINUATION_REASON: Final = key_of("ProcedureStepDiscontinuationReasonCodeSequence")
CONTACT: Final = (key_of("ContactURI"), key_of("ContactDisplayName"))
_READINESS: Final = key_of("InputReadinessState")
_STATIONS: Final = key_of("ScheduledStationNameCodeSequence")
_PERFORMERS: Final = key_of("ScheduledHumanPerformersSequence")
_PERFORMER: Final = (key_of("HumanPerformerCodeSequence"), key_of("HumanPerformerOrganization"))
_PROGRESS: Final = tuple(
    key_of(keyword)
    for keyword in (
        "ProcedureStepProgress",
        "ProcedureStepProgressDescription",
        "ProcedureStepProgressParametersSequence",
        "ProcedureStepCommunicationsURISequence",
    )
)


class EventType(IntEnum):
    """Event Type ID (0000,1002)."""

    STATE_REPORT = 1
    CANCEL_REQUESTED = 2
    PROGRESS_REPORT = 3
    SCP_STATUS_CHANGE = 4
    ASSIGNED = 5


@dataclass(frozen=True, slots=True)
class Report:
    """One event, as everybody who is subscribed is told of it."""

    event_type: EventType
    attributes: DicomJson

    def data_set(self, workitem_uid: str, message_id: int) -> DicomJson:
        """The payload of PS3.18 §11.13, with the command elements of PS3.7 Table 10.3-1."""
        return {
            "00000002": {"vr": "UI", "Value": [UPS_PUSH]},
            "00000110": {"vr": "US", "Value": [message_id]},
            "00001000": {"vr": "UI", "Value": [workitem_uid]},
            "00001002": {"vr": "US", "Value": [int(self.event_type)]},
            **dict(sorted(self.attributes.items())),
        }


def of_new(workitem: DicomJson) -> list[Report]:
    """What a new workitem, or one that came from elsewhere, is announced with."""
    return [state_report(workitem), *_assigned(workitem)]


def of_change(before: DicomJson, after: DicomJson) -> list[Report]:
    """What there is to be told of an update or a change of state."""
    found = []
    if any(before.get(key) != after.get(key) for key in (STATE, _READINESS)):
        found.append(state_report(after))
    if any(before.get(key) != after.get(key) for key in (_STATIONS, _PERFORMERS)):
        found += _assigned(after)
    if _progress(before) != _progress(after):
        information = {"vr": "SQ", "Value": [_progress(after)]}
        found.append(Report(EventType.PROGRESS_REPORT, {PROGRESS_INFORMATION: information}))
    return found


def state_report(workitem: DicomJson) -> Report:
    """State and input readiness as they are, and why it was cancelled where that is said."""
    told: DicomJson = {STATE: workitem[STATE], _READINESS: workitem.get(_READINESS, {"vr": "CS"})}
    for item in items_of(workitem, PROGRESS_INFORMATION)[:1]:
        told |= _picked(item, (REASON_FOR_CANCELLATION, DISCONTINUATION_REASON))
    return Report(EventType.STATE_REPORT, told)


def cancel_requested(requester: str, information: DicomJson) -> Report:
    """Somebody wants it cancelled; `information` is that of the request (PS3.4 Table CC.2.2-1)."""
    told: DicomJson = {key_of("RequestingAE"): {"vr": "AE", "Value": [requester]}}
    told |= _picked(information, (REASON_FOR_CANCELLATION, DISCONTINUATION_REASON, *CONTACT))
    return Report(EventType.CANCEL_REQUESTED, told)


def restarted() -> Report:
    """This archive was started: nothing of subscriptions and workitems was lost."""
    words = {"SCPStatus": "RESTARTED", "SubscriptionListStatus": "WARM START"}
    words["UnifiedProcedureStepListStatus"] = "WARM START"
    return Report(
        EventType.SCP_STATUS_CHANGE, {key_of(keyword): {"vr": "CS", "Value": [word]} for keyword, word in words.items()}
    )


def _assigned(workitem: DicomJson) -> list[Report]:
    told = _picked(workitem, (_STATIONS,))
    for performer in items_of(workitem, _PERFORMERS)[:1]:
        told |= _picked(performer, _PERFORMER)
    return [Report(EventType.ASSIGNED, told)] if told else []


def _progress(workitem: DicomJson) -> DicomJson:
    items = items_of(workitem, PROGRESS_INFORMATION)
    return _picked(items[0], _PROGRESS) if items else {}


def _picked(data_set: dict[str, Any], keys: tuple[str, ...]) -> DicomJson:
    return {key: data_set[key] for key in keys if has_value(data_set.get(key))}
