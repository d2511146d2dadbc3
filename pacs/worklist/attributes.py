"""Attributes of a workitem and what is required of them: PS3.4 Table CC.2.5-3, as data. Pure.

A line has keyword, Req. Type N-CREATE, Req. Type N-SET, Final State and Return Key Type; ``>`` before a keyword is the
nesting. ``x`` stands for "not allowed", ``e`` behind a type for "shall be empty". Attributes that the table does not
have may be sent and are kept (3/3), as are the newest ones, which pydicom's dictionary does not know yet. Transaction
UID may be left out when a workitem is created, where the table wants it empty: it means the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.datadict import tag_for_keyword

_TABLE: Final = """
TransactionUID 3/2e - O -
SpecificCharacterSet 1C/1C 1C/1C RC 1C
SOPClassUID 3/1 x R 1
SOPInstanceUID 3/1 x R 1
ScheduledProcedureStepPriority 1/1 3/1 R 1
ScheduledProcedureStepModificationDateTime -/1 -/1 R 3
ProcedureStepLabel 1/1 3/1 O 1
WorklistLabel 2/1 3/1 O 1
ScheduledProcessingParametersSequence 2/2 3/2 O 2
ScheduledStationNameCodeSequence 2/2 3/2 O 2
ScheduledStationClassCodeSequence 2/2 3/2 O 2
ScheduledStationGeographicLocationCodeSequence 2/2 3/2 O 2
ScheduledHumanPerformersSequence 2C/2C 3/2 O 2
>HumanPerformerCodeSequence 1/1 1/1 O 1
>HumanPerformerName 1/1 1/1 O 3
>HumanPerformerOrganization 1/1 1/1 O 3
ScheduledProcedureStepStartDateTime 1/1 3/1 R 1
ExpectedCompletionDateTime 3/1 3/1 O 3
ScheduledProcedureStepExpirationDateTime 3/3 3/3 O 3
ScheduledWorkitemCodeSequence 2/2 3/1 O 2
CommentsOnTheScheduledProcedureStep 2/2 3/1 O 3
InputReadinessState 1/1 3/1 R 1
InputInformationSequence 2/2 3/2 O 2
StudyInstanceUID 1C/2 3/2 O 2
OutputDestinationSequence 3/3 3/3 O 3
PatientName 2/2 x O 2
PatientID 1C/2 x O 2
IssuerOfPatientID 2/2 x O 2
IssuerOfPatientIDQualifiersSequence 2/2 x O 2
OtherPatientIDsSequence 2/2 3/3 O 2
>PatientID 1/1 1/1 O 1
>IssuerOfPatientID 2/2 - O 2
>IssuerOfPatientIDQualifiersSequence 2/2 - O 2
>TypeOfPatientID 3/3 3/3 O 3
PatientBirthDate 2/2 x O 2
PatientSex 2/2 x O 2
ReferencedPatientPhotoSequence 3/3 3/3 O 3
AdmissionID 2/2 x O 2
IssuerOfAdmissionIDSequence 2/2 x O 2
AdmittingDiagnosesDescription 2/2 x O 2
AdmittingDiagnosesCodeSequence 2/2 x O 2
ReferencedRequestSequence 2/2 x O 2
>StudyInstanceUID 1/1 x O 1
>AccessionNumber 2/2 x O 2
>IssuerOfAccessionNumberSequence 2/2 x O 2
>PlacerOrderNumberImagingServiceRequest 3/1 x O 1C
>OrderPlacerIdentifierSequence 2/2 x O 2
>FillerOrderNumberImagingServiceRequest 3/1 x O 1C
>OrderFillerIdentifierSequence 2/2 x O 2
>RequestedProcedureID 2/2 x O 2
>RequestedProcedureDescription 2/2 x O 2
>RequestedProcedureCodeSequence 2/2 x O 2
>RequestingService 3/1 3/1 O 3
ReplacedProcedureStepSequence 1C/1C x O 3
MedicalAlerts 3/2 3/2 O 2C
PregnancyStatus 3/2 3/2 O 2C
SpecialNeeds 3/2 3/2 O 2C
ProcedureStepState 1/1 x R 1
ProcedureStepProgressInformationSequence 2/2e 3/2 X 2
>ProcedureStepProgress - 3/1 O -
>ProcedureStepProgressDescription - 3/1 O -
>ProcedureStepProgressParametersSequence - 3/3 O -
>ProcedureStepCommunicationsURISequence - 3/1 O -
>>ContactURI - 1/1 O -
>>ContactDisplayName - 3/1 O -
>ProcedureStepCancellationDateTime - 3/1 X -
>ReasonForCancellation - 3/1 O -
>ProcedureStepDiscontinuationReasonCodeSequence - 3/1 X -
UnifiedProcedureStepPerformedProcedureSequence 2/2e 3/2 P -
>ActualHumanPerformersSequence - 3/1 RC 1C
>>HumanPerformerCodeSequence - 3/1 RC -
>>HumanPerformerName - 3/1 RC -
>>HumanPerformerOrganization - 3/1 O -
>PerformedStationNameCodeSequence - 3/2 P 3
>PerformedStationClassCodeSequence - 3/2 O -
>PerformedStationGeographicLocationCodeSequence - 3/2 O -
>PerformedProcedureStepStartDateTime - 3/1 P -
>PerformedProcedureStepDescription - 3/1 O -
>CommentsOnThePerformedProcedureStep - 3/1 O -
>PerformedWorkitemCodeSequence - 3/1 P -
>PerformedProcessingParametersSequence - 3/1 O -
>PerformedProcedureStepEndDateTime - 3/1 P 1C
>OutputInformationSequence - 2/2 P -
"""

EMPTY_WHEN_CREATED: Final = "e"
NOT_ALLOWED: Final = "x"


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute of the table."""

    keyword: str
    tag: int
    path: tuple[int, ...]
    """Tags from the outermost sequence to the attribute."""
    create: str
    set: str
    final: str
    """O, R, RC, P (for COMPLETED) or X (for CANCELED); PS3.4 Table CC.2.5-1."""
    returned: str

    @property
    def key(self) -> str:
        """The tag as DICOM JSON has it."""
        return f"{self.tag:08X}"


def tag_of(keyword: str) -> int:
    """The tag of an attribute of the standard."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword  # noqa: S101 -- keywords of this program
    return tag


def key_of(keyword: str) -> str:
    """As `tag_of`, as DICOM JSON has it: ``00741000``."""
    return f"{tag_of(keyword):08X}"


def _rows() -> tuple[Row, ...]:
    rows: list[Row] = []
    above: tuple[int, ...] = ()
    for line in _TABLE.split("\n"):
        if not line:
            continue
        name, create, set_, final, returned = line.split()
        keyword = name.lstrip(">")
        tag = tag_of(keyword)
        path = (*above[: len(name) - len(keyword)], tag)
        above = path
        rows.append(Row(keyword, tag, path, create, set_, final, returned))
    return tuple(rows)


ROWS: Final = _rows()
RETURNED: Final = frozenset(row.tag for row in ROWS if len(row.path) == 1 and row.returned in ("1", "2"))
"""Top-level attributes that every answer of a search has, if only empty (Return Key Type 1 and 2)."""
RETURNED_IF_THERE: Final = frozenset(row.tag for row in ROWS if len(row.path) == 1 and row.returned in ("1C", "2C"))
