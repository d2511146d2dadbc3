"""The six search URLs, on stored instances."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from pacs.dicomweb import qido
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
    monkeypatch.setattr(qido, "MAX_RESULTS", 2)
    study = generate_uid()
    for _ in range(3):
        door.keep(image(StudyInstanceUID=study))
    answer = door.get(f"/studies/{study}/series")
    assert len(answer.json()) == 2
    assert "additional results" in answer.headers["warning"]
    assert "warning" not in door.get(f"/studies/{study}/series?limit=2").headers


def test_accept(door: DoorInMemory) -> None:
    assert door.get("/studies?limit=1", accept="application/json").headers["content-type"] == "application/json"
    assert door.get("/studies?limit=1&accept=application/json").headers["content-type"] == "application/json"
    refused = door.get("/studies", accept="text/plain")
    assert refused.status_code == 406
    assert "application/dicom+json" in refused.json()["error"]


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
