"""Status and body of a store answer."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from pacs import errors
from pacs.dicomweb import store_response as store_response_module
from pacs.dicomweb.store_response import (
    FAILURE_REASON,
    Failed,
    Result,
    failure_reason,
    store_response,
    store_status,
    unlisted_failures,
)
from pacs.model import InstanceKey, Outcome, Stored


def stored(sop: str, study: str = "1.1", outcome: Outcome = Outcome.STORED, *, coerced: tuple[int, ...] = ()) -> Stored:
    return Stored(InstanceKey("default", study, "1.2", sop), "1.2.840.10008.5.1.4.1.1.2", outcome, coerced)


BAD = Failed(errors.NotDicom("no DICOM"))
FULL = Failed(errors.StorageFull("full"), "1.5", "1.6")


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([stored("1")], 200),
        ([stored("1", outcome=Outcome.ALREADY_THERE)], 200),
        ([stored("1", outcome=Outcome.NEW_VERSION)], 200),
        ([stored("1", coerced=(0x00100010,))], 202),
        ([stored("1"), BAD], 202),
        ([BAD, BAD], 400),
        ([FULL], 507),
        ([BAD, FULL], 409),
        ([Failed(errors.TooLarge("large"))], 413),
        ([Failed(errors.UnsupportedMedia("type"))], 415),
        ([Failed(errors.IdentityMismatch("other"))], 409),
    ],
)
def test_status(results: list[Result], status: int) -> None:
    assert store_status(results) == status


def test_every_error_has_a_reason_of_16_bits() -> None:
    for name in vars(errors):
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, errors.PacsError):
            assert 0 < failure_reason(kind("x")) < 0x10000
    assert set(FAILURE_REASON) <= {kind for kind in vars(errors).values() if isinstance(kind, type)}


def test_body_is_dicom_json_that_others_read() -> None:
    answer = store_response([stored("1.9"), BAD, FULL, stored("1.8", "2.2", Outcome.ALREADY_THERE)], "http://h/d", None)
    data_set = Dataset.from_json(answer)
    assert [item.RetrieveURL for item in data_set.ReferencedSOPSequence] == [
        "http://h/d/studies/1.1/series/1.2/instances/1.9",
        "http://h/d/studies/2.2/series/1.2/instances/1.8",
    ]
    assert data_set.FailedSOPSequence[0].ReferencedSOPInstanceUID == "1.6"
    assert data_set.FailedSOPSequence[0].FailureReason == 0xA700
    assert data_set.OtherFailuresSequence[0][0x00091001].value == "no DICOM"
    assert "RetrieveURL" not in data_set  # two studies: there is no one URL
    assert (
        Dataset.from_json(store_response([stored("1.9")], "http://h/d", None)).RetrieveURL == "http://h/d/studies/1.1"
    )


def test_a_coerced_instance_has_its_warning_and_the_tags() -> None:
    (item,) = store_response([stored("1.9", coerced=(0x00080080,))], "http://h/d", None)["00081199"]["Value"]
    assert item["00081196"]["Value"] == [45056]
    assert "(0008,0080)" in item["00091001"]["Value"][0]


def test_every_named_failure_is_listed_and_those_without_a_name_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_response_module, "MAX_REPORTED_FAILURES", 2)
    named = [Failed(errors.NotDicom("no DICOM"), "1.5", f"1.6.{number}") for number in range(4)]
    assert unlisted_failures([*named, BAD, BAD]) == ""
    answer = Dataset.from_json(store_response([*named, *[BAD] * 5], "http://h/d", None))
    assert [item.ReferencedSOPInstanceUID for item in answer.FailedSOPSequence] == [f"1.6.{n}" for n in range(4)]
    assert [(0x00091001 in item, item.FailureReason) for item in answer.FailedSOPSequence] == [
        (True, 0xC000),
        (True, 0xC000),
        (False, 0xC000),
        (False, 0xC000),
    ]
    assert len(answer.OtherFailuresSequence) == 2
    assert answer[0x00091001].value == unlisted_failures([*named, *[BAD] * 5])
    assert "3 further" in answer[0x00091001].value
