"""What a workitem says of its own cancellation (PS3.4 Table CC.2.5-3, Final State X). Pure."""

from __future__ import annotations

from typing import Any, Final

from pacs.model import DicomJson
from pacs.worklist.attributes import key_of
from pacs.worklist.data_sets import date_time, has_value, items_of
from pacs.worklist.reports import DISCONTINUATION_REASON, PROGRESS_INFORMATION, REASON_FOR_CANCELLATION

_CANCELLATION: Final = key_of("ProcedureStepCancellationDateTime")
UNSPECIFIED: Final = {
    "vr": "SQ",
    "Value": [
        {
            "00080100": {"vr": "SH", "Value": ["110513"]},
            "00080102": {"vr": "SH", "Value": ["DCM"]},
            "00080104": {"vr": "LO", "Value": ["Discontinued for unspecified reason"]},
        }
    ],
}
"""PS3.16 CID 9301: the code of a cancellation that was asked for without a reason."""


def with_cancellation(
    workitem: DicomJson, information: DicomJson, now_s: float, reason: dict[str, Any] | None = None
) -> DicomJson:
    """The workitem with the moment of its cancellation (seconds since 1970), where it has none, and with the reasons
    of a request. `reason` is the code where nobody has given one."""
    items = items_of(workitem, PROGRESS_INFORMATION)
    item = dict(items[0]) if items else {}
    if not has_value(item.get(_CANCELLATION)):
        item[_CANCELLATION] = {"vr": "DT", "Value": [date_time(now_s)]}
    for key in (REASON_FOR_CANCELLATION, DISCONTINUATION_REASON):
        if has_value(information.get(key)):
            item[key] = information[key]
    if reason is not None and not has_value(item.get(DISCONTINUATION_REASON)):
        item[DISCONTINUATION_REASON] = reason
    sequence = {"vr": "SQ", "Value": [dict(sorted(item.items())), *items[1:]]}
    return dict(sorted({**workitem, PROGRESS_INFORMATION: sequence}.items()))
