"""The six search URLs, on stored instances."""

from __future__ import annotations

import email
from xml.etree import ElementTree

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from tests.dicomweb.served import DoorInMemory, image

STUDY = "0020000D"


def test_each_url_finds_what_was_just_stored(door: DoorInMemory) -> None:
    name = generate_uid()
    kept = door.keep(image(PatientID=name, Modality="MR"))
    for path in (
        f"/studies?PatientID={name}",
        f"/series?PatientID={name}&Modality=MR",
        f"/instances?PatientID={name}",
        f"/studies/{kept.study_instance_uid}/series",
        f"/studies/{kept.study_instance_uid}/instances",
        f"/studies/{kept.study_instance_uid}/series/{kept.series_instance_uid}/instances",
    ):
        answer = door.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/dicom+json"
        (result,) = answer.json()
        assert result[STUDY]["Value"] == [kept.study_instance_uid]
        assert result["00081190"]["Value"][0].startswith(f"{door.base}/studies/{kept.study_instance_uid}")
        assert list(result) == sorted(result)
        Dataset.from_json(result)


def test_retrieve_urls_lead_to_the_level_that_was_asked_for(door: DoorInMemory) -> None:
    kept = door.keep(image())
    (result,) = door.get(f"/studies/{kept.study_instance_uid}/instances").json()
    assert result["00081190"]["Value"] == [door.base + kept.path]


def test_nothing_found_is_an_empty_list(door: DoorInMemory) -> None:
    answer = door.get(f"/studies?StudyInstanceUID={generate_uid()}")
    assert (answer.status_code, answer.json()) == (200, [])


def test_lists_need_modalities_in_study_and_counts(door: DoorInMemory) -> None:
    kept = door.keep(image(Modality="CT"))
    door.keep(image(StudyInstanceUID=kept.study_instance_uid, Modality="SR"))
    (study,) = door.get(f"/studies?StudyInstanceUID={kept.study_instance_uid}&includefield=00081030%2C00080060").json()
    assert sorted(study["00080061"]["Value"]) == ["CT", "SR"]
    assert study["00201206"]["Value"] == [2]
    assert study["00201208"]["Value"] == [2]


def test_paging(door: DoorInMemory) -> None:
    study = generate_uid()
    series = generate_uid()
    for number in range(1, 6):
        door.keep(image(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=number))
    path = f"/studies/{study}/instances?limit=2&offset="
    pages = [door.get(path + str(offset)).json() for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert len({result["00080018"]["Value"][0] for page in pages for result in page}) == 5
    assert door.get(f"/studies/{study}/instances?limit=0").json() == []


def test_more_than_may_be_answered_is_said(door: DoorInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    study = generate_uid()
    for _ in range(4):
        door.keep(image(StudyInstanceUID=study))
    path = f"/studies/{study}/series"
    assert "warning" not in door.get(f"{path}?limit=4").headers
    assert "warning" not in door.get(f"{path}?limit=2&offset=2").headers
    cut = door.get(f"{path}?limit=2&offset=1")
    assert len(cut.json()) == 2
    assert cut.headers["warning"].endswith('"There are additional results that can be requested: go on with offset=3"')
    assert "additional results" in door.get(f"{path}?limit=0").headers["warning"]
    monkeypatch.setattr(door.search, "max_results", 3)
    for query in ("", "?limit=4", "?limit=3"):
        answer = door.get(path + query)
        assert len(answer.json()) == 3
        assert "go on with offset=3" in answer.headers["warning"]


def test_items_that_do_not_match_are_left_out(door: DoorInMemory) -> None:
    """PS3.4 C.2.2.2.6: a sequence of matching items."""
    items = []
    for step, request in (("S1", "R1"), ("S2", "R2"), ("S2", "R3")):
        items.append(Dataset())
        items[-1].ScheduledProcedureStepID, items[-1].RequestedProcedureID = step, request
    kept = door.keep(image(RequestAttributesSequence=items))

    def found(query: str) -> list[str]:
        (result,) = door.get(f"/series?SeriesInstanceUID={kept.series_instance_uid}{query}").json()
        return [item["00401001"]["Value"][0] for item in result["00400275"]["Value"]]

    path = "&RequestAttributesSequence."
    assert found("") == found(f"{path}ScheduledProcedureStepID=") == ["R1", "R2", "R3"]
    assert found(f"{path}ScheduledProcedureStepID=S2") == ["R2", "R3"]
    assert found(f"{path}ScheduledProcedureStepID=S2{path}RequestedProcedureID=R2") == ["R2"]
    members = "&includefield=RequestAttributesSequence.RequestedProcedureID"
    assert found(f"{path}ScheduledProcedureStepID=S1{members}") == ["R1"]


def test_accept(door: DoorInMemory) -> None:
    assert door.get("/studies?limit=1", accept="application/json").headers["content-type"] == "application/json"
    assert door.get("/studies?limit=1&accept=application/json").headers["content-type"] == "application/json"
    refused = door.get("/studies", accept="text/plain")
    assert refused.status_code == 406
    assert "application/dicom+json" in refused.json()["error"]


def test_xml_is_a_part_for_each_result(door: DoorInMemory) -> None:
    study, series = generate_uid(), generate_uid()
    for number in (1, 2):
        names = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "김^민수"}
        door.keep(image(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=number, **names))
    path = f"/studies/{study}/instances?includefield=PatientName"
    answer = door.get(path, accept='multipart/related; type="application/dicom+xml"')
    assert answer.status_code == 200
    message = email.message_from_bytes(
        b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n" + answer.content
    )
    assert message.get_param("type") == "application/dicom+xml"
    parts = [part for part in message.walk() if part.get_content_type() == "application/dicom+xml"]
    found = [ElementTree.fromstring(part.get_payload(decode=True)) for part in parts]
    json = door.get(path).json()
    assert len(found) == len(json) == 2
    for document, result in zip(found, json, strict=True):
        attributes = {element.get("tag"): element for element in document if element.tag.endswith("DicomAttribute")}
        assert attributes.keys() == result.keys()
        value = attributes["00080018"].find("{*}Value")
        assert value is not None
        assert value.text == result["00080018"]["Value"][0]
        assert "민수" in "".join(attributes["00100010"].itertext())


def test_nothing_found_in_xml_is_no_content(door: DoorInMemory) -> None:
    path = f"/studies?StudyInstanceUID={generate_uid()}"
    answer = door.get(path, accept='multipart/related; type="application/dicom+xml"')
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


def test_members_of_sequences_can_be_chosen(door: DoorInMemory) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CT", "99X", "computed"
    kept = door.keep(image(ProcedureCodeSequence=[code]))
    path = f"/studies?StudyInstanceUID={kept.study_instance_uid}&includefield=ProcedureCodeSequence"
    (whole,) = door.get(path).json()
    assert whole["00081032"]["Value"][0].keys() == {"00080100", "00080102", "00080104"}
    (cut,) = door.get(f"{path}.CodeValue").json()
    assert cut["00081032"] == {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["CT"]}}]}
    (two,) = door.get(f"{path}.CodeValue,00081032.00080104").json()
    assert two["00081032"]["Value"][0].keys() == {"00080100", "00080104"}


def test_ways_of_matching(door: DoorInMemory) -> None:
    study, issuer = generate_uid(), generate_uid()[-20:]
    asked = f"/studies?IssuerOfPatientID={issuer}"
    here = image(
        StudyInstanceUID=study,
        IssuerOfPatientID=issuer,
        PatientName="Yamada^Tarou",
        Modality="CT",
        StudyDate="20240101",
        StudyTime="200000",
        TimezoneOffsetFromUTC="+0000",
        AccessionNumber="",
    )
    door.keep(here)
    door.keep(image(StudyInstanceUID=study, Modality="MR"))

    def count(query: str) -> int:
        answer = door.get(f"{asked}&{query}")
        assert answer.status_code == 200, answer.text
        return len(answer.json())

    assert count("PatientName=taro+ymaada") == 0
    assert count("PatientName=taro+ymaada&fuzzymatching=true") == 1
    assert count("AccessionNumber=%22%22") == 0
    assert count("AccessionNumber=%22%22&emptyvaluematching=true") == 1
    assert count("ModalitiesInStudy=CT,SR") == 1
    assert count("ModalitiesInStudy=CT,SR&multiplevaluematching=true") == 0
    assert count("ModalitiesInStudy=CT,MR&multiplevaluematching=true") == 1
    assert count("StudyDate=20240102") == 0
    assert count("StudyDate=20240102&TimezoneOffsetFromUTC=%2B0900") == 1
    assert count("StudyDate=20231231-20240102&StudyTime=1900-0900") == 1, "one range of moments"


def test_every_study_tells_its_modalities(door: DoorInMemory) -> None:
    kept = door.keep(image(Modality=""))
    (study,) = door.get(f"/studies?StudyInstanceUID={kept.study_instance_uid}").json()
    assert study["00080061"]["Value"] == ["OT"]
    assert all(result["00080061"]["Value"] for result in door.get("/studies").json())


def test_what_the_standard_wants_of_a_study(door: DoorInMemory) -> None:
    """PS3.18 Table 10.6.3-3: all that is there and all that can be computed."""
    kept = door.keep(
        image(
            StudyDate="20240101", StudyTime="0800", AccessionNumber="1", ReferringPhysicianName="A^B", PatientID="1",
            TimezoneOffsetFromUTC="+0900", PatientName="C^D", PatientBirthDate="19700101", PatientSex="O", StudyID="1",
        )
    )  # fmt: skip
    (study,) = door.get(f"/studies?StudyInstanceUID={kept.study_instance_uid}").json()
    required = (
        "00080020 00080030 00080050 00080056 00080061 00080090 00080201 00081190 00100010 00100020 00100030 00100040"
        " 0020000D 00200010 00201206 00201208"
    )
    assert set(required.split()) <= study.keys()
    assert study["00080056"]["Value"] == ["ONLINE"]


def test_long_answers_are_compressed_for_who_accepts_it(door: DoorInMemory) -> None:
    study = generate_uid()
    for _ in range(4):
        door.keep(image(StudyInstanceUID=study))
    path = f"/studies/{study}/instances"
    plain, packed = door.get(path), door.get(path, accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < len(plain.content)


@pytest.mark.parametrize(
    "path",
    [
        "/studies?PatientNmae=x",
        "/studies?limit=x",
        "/studies?StudyDate=20241301-x",
        "/studies/a/series",
    ],
)
def test_what_cannot_be_understood_is_a_bad_request(door: DoorInMemory, path: str) -> None:
    answer = door.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_key_that_is_not_kept_is_ignored_with_a_warning(door: DoorInMemory) -> None:
    kept = door.keep(image())
    answer = door.get(f"/studies?StudyInstanceUID={kept.study_instance_uid}&PatientTelephoneNumbers=02-123-4567")
    assert len(answer.json()) == 1
    assert answer.headers["warning"].startswith("299 ")
    assert "PatientTelephoneNumbers" in answer.headers["warning"]
    assert "warning" not in door.get(f"/studies?StudyInstanceUID={kept.study_instance_uid}").headers


def test_fields_that_cannot_be_given_are_named_in_a_warning(door: DoorInMemory) -> None:
    kept = door.keep(image())
    study = f"/studies?StudyInstanceUID={kept.study_instance_uid}&includefield="
    answer = door.get(study + "Newer,Rows,PatientName,00091001,NumberOfPatientRelatedStudies")
    assert len(answer.json()) == 1
    unknown, unanswered = "Not known as attributes, so left out: Newer", "Not kept for answers, so left out: "
    assert f'299 {door.base} "{unknown}"' in answer.headers["warning"]
    assert f'"{unanswered}00091001, NumberOfPatientRelatedStudies, Rows"' in answer.headers["warning"]
    assert "PatientName" not in answer.headers["warning"]
    assert "warning" not in door.get(study + "all,PatientName,RetrieveURL,ModalitiesInStudy,00080005").headers
    assert "warning" not in door.get(f"/studies/{kept.study_instance_uid}/instances?includefield=Rows").headers
    long = ",".join(f"Unknown{number}" for number in range(1000))
    assert len(door.get(study + long).headers["warning"]) < 1200


def test_what_is_required_or_asked_for_is_there_without_a_value_too(door: DoorInMemory) -> None:
    """PS3.18 Tables 10.6.3-3 to -5, type R, and PS3.4 C.2.2.1.2: of what is not known, the attribute is empty."""
    left_out = ("PatientName", "PatientID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "Modality")
    numbers = {"SeriesNumber": None, "InstanceNumber": None}
    kept = door.keep(image(**dict.fromkeys(left_out), **numbers))
    study, series = f"/studies/{kept.study_instance_uid}", f"/series/{kept.series_instance_uid}"
    of_study = {
        "00080020": "DA",
        "00080030": "TM",
        "00080050": "SH",
        "00080090": "PN",
        "00100010": "PN",
        "00100020": "LO",
    }
    of_study |= {"00100030": "DA", "00100040": "CS", "00200010": "SH"}
    of_series, of_instance = {"00080060": "CS", "00200011": "IS"}, {"00200013": "IS"}
    for path, empty in (
        (f"/studies?StudyInstanceUID={kept.study_instance_uid}", of_study),
        (f"/series?StudyInstanceUID={kept.study_instance_uid}", of_study | of_series),
        (f"/instances?StudyInstanceUID={kept.study_instance_uid}", of_study | of_series | of_instance),
        (f"{study}/series", of_series),
        (f"{study}/instances", of_series | of_instance),
        (f"{study}{series}/instances", of_instance),
    ):
        (result,) = door.get(path).json()
        assert {tag: one["vr"] for tag, one in result.items() if "Value" not in one} == empty
        assert list(result) == sorted(result)
    asked = f"/studies?StudyInstanceUID={kept.study_instance_uid}&StudyDescription=*&OtherPatientIDs=&Rows=&Modality="
    (result,) = door.get(f"{asked}&includefield=PatientAge,00081032.00080100,Columns,00091001").json()
    asked_for = {"00081030": "LO", "00101000": "LO", "00101010": "AS", "00081032": "SQ"}
    assert {tag: one["vr"] for tag, one in result.items() if "Value" not in one} == of_study | asked_for
    Dataset.from_json(result)
