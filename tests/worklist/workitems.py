"""Workitems for tests."""

from __future__ import annotations

import uuid
from typing import Any

from pydicom.datadict import dictionary_VR

from pacs.model import DicomJson
from pacs.worklist.attributes import tag_of

_REQUIRED: dict[str, list[Any]] = {
    "ScheduledProcedureStepPriority": ["MEDIUM"],
    "ProcedureStepLabel": ["Read chest CT"],
    "WorklistLabel": ["Chest"],
    "ScheduledProcessingParametersSequence": [],
    "ScheduledStationNameCodeSequence": [],
    "ScheduledStationClassCodeSequence": [],
    "ScheduledStationGeographicLocationCodeSequence": [],
    "ScheduledProcedureStepStartDateTime": ["20261122101500"],
    "ScheduledWorkitemCodeSequence": [],
    "CommentsOnTheScheduledProcedureStep": [],
    "InputReadinessState": ["READY"],
    "InputInformationSequence": [],
    "PatientName": [{"Alphabetic": "KIM^SU", "Ideographic": "김^수"}],
    "PatientID": ["P1"],
    "IssuerOfPatientID": [],
    "IssuerOfPatientIDQualifiersSequence": [],
    "OtherPatientIDsSequence": [],
    "PatientBirthDate": [],
    "PatientSex": [],
    "AdmissionID": [],
    "IssuerOfAdmissionIDSequence": [],
    "AdmittingDiagnosesDescription": [],
    "AdmittingDiagnosesCodeSequence": [],
    "ReferencedRequestSequence": [],
    "ProcedureStepState": ["SCHEDULED"],
    "ProcedureStepProgressInformationSequence": [],
    "UnifiedProcedureStepPerformedProcedureSequence": [],
}


def new_uid() -> str:
    """A UID of nobody else."""
    return f"2.25.{uuid.uuid4().int}"


def data_set(**values: Any) -> DicomJson:
    """Attributes by keyword in DICOM JSON; a list has the values, None leaves it out."""
    found = {}
    for keyword, given in values.items():
        if given is not None:
            vr = dictionary_VR(tag_of(keyword))
            found[f"{tag_of(keyword):08X}"] = {"vr": vr, "Value": given} if given else {"vr": vr}
    return dict(sorted(found.items()))


def workitem(**values: Any) -> DicomJson:
    """All that a new workitem needs; `values` are added, replaced or (None) left out."""
    return data_set(**{**_REQUIRED, **values})


def code(value: str, meaning: str = "meaning") -> DicomJson:
    """An item of a code sequence."""
    return data_set(CodeValue=[value], CodingSchemeDesignator=["99T"], CodeMeaning=[meaning])


def claim(transaction_uid: str) -> DicomJson:
    """The request to claim a workitem."""
    return to_state("IN PROGRESS", transaction_uid)


def to_state(state: str, transaction_uid: str | None) -> DicomJson:
    """The request to change a state."""
    return data_set(ProcedureStepState=[state], TransactionUID=[transaction_uid] if transaction_uid else None)


def performed() -> DicomJson:
    """What an update sets before a workitem may be COMPLETED."""
    item = data_set(
        PerformedStationNameCodeSequence=[code("STATION")],
        PerformedProcedureStepStartDateTime=["20261122102000"],
        PerformedProcedureStepEndDateTime=["20261122103000"],
        PerformedWorkitemCodeSequence=[code("110005", "Interpretation")],
        OutputInformationSequence=[],
    )
    return data_set(UnifiedProcedureStepPerformedProcedureSequence=[item])


def reason() -> DicomJson:
    """What an update sets before its owner may cancel a workitem."""
    item = data_set(ProcedureStepDiscontinuationReasonCodeSequence=[code("110513")])
    return data_set(ProcedureStepProgressInformationSequence=[item])
