"""`dicomweb-client`, as people use it, against a real uvicorn on loopback."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, generate_uid

from tests.dicomweb.served import ServedDoor, image, served_door

PIXELS = np.arange(3 * 16 * 24, dtype="<u2").reshape(3, 16, 24)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDoor]:
    with served_door(tmp_path_factory.mktemp("archive")) as served:
        yield served


@pytest.fixture(scope="module")
def client(door: ServedDoor) -> Iterator[DICOMwebClient]:
    made = DICOMwebClient(door.base)
    yield made
    made._session.close()


@pytest.fixture(scope="module")
def study(client: DICOMwebClient) -> list[FileDataset]:
    """Two slices and a compressed multi-frame image, stored by the client."""
    uid, series = generate_uid(), generate_uid()
    slices = [
        image(StudyInstanceUID=uid, SeriesInstanceUID=series, InstanceNumber=number, PatientName="LEE^A")
        for number in (1, 2)
    ]
    frames = encapsulate([imagecodecs.jpegls_encode(frame) for frame in PIXELS])
    multi = image(StudyInstanceUID=uid, Modality="MR", NumberOfFrames=3, PixelData=frames, PatientName="LEE^A")
    multi["PixelData"].is_undefined_length = True
    multi.file_meta.TransferSyntaxUID = JPEGLSLossless
    stored = client.store_instances([*slices, multi])
    assert len(stored.ReferencedSOPSequence) == 3
    assert "FailedSOPSequence" not in stored
    return [*slices, multi]


def uids(data_set: Dataset) -> tuple[str, str, str]:
    return data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID


def test_search(client: DICOMwebClient, study: list[FileDataset]) -> None:
    uid = study[0].StudyInstanceUID
    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": uid})
    assert sorted(found["00080061"]["Value"]) == ["CT", "MR"]
    assert client.search_for_studies(search_filters={"PatientName": "lee*", "StudyInstanceUID": uid})
    assert client.search_for_studies(search_filters={"PatientName": "nobody", "StudyInstanceUID": uid}) == []
    assert len(client.search_for_series(study_instance_uid=uid)) == 2
    assert len(client.search_for_instances(study_instance_uid=uid)) == 3
    assert len(client.search_for_instances(study_instance_uid=uid, limit=2, get_remaining=True)) == 3
    (series,) = client.search_for_series(
        search_filters={"StudyInstanceUID": uid, "Modality": "MR"}, fields=["Manufacturer"]
    )
    assert series["0020000E"]["Value"] == [study[2].SeriesInstanceUID]


def test_retrieve_whole(client: DICOMwebClient, study: list[FileDataset]) -> None:
    uid = study[0].StudyInstanceUID
    assert {each.SOPInstanceUID for each in client.retrieve_study(uid)} == {each.SOPInstanceUID for each in study}
    assert len(client.retrieve_series(uid, study[0].SeriesInstanceUID)) == 2
    for original in study:
        got = client.retrieve_instance(*uids(original))
        assert got.PixelData == original.PixelData
        assert got.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    as_explicit = client.retrieve_instance(*uids(study[2]), media_types=(("application/dicom", "1.2.840.10008.1.2.1"),))
    assert as_explicit.PixelData == PIXELS.tobytes()
    streamed = list(client.iter_series(uid, study[0].SeriesInstanceUID))
    assert len(streamed) == 2


def test_metadata(client: DICOMwebClient, study: list[FileDataset]) -> None:
    uid = study[0].StudyInstanceUID
    assert len(client.retrieve_study_metadata(uid)) == 3
    assert len(client.retrieve_series_metadata(uid, study[0].SeriesInstanceUID)) == 2
    made = Dataset.from_json(client.retrieve_instance_metadata(*uids(study[0])), lambda *_: b"")
    assert made.PatientName == "LEE^A"
    assert made.WindowCenter == 200


def test_frames(client: DICOMwebClient, study: list[FileDataset]) -> None:
    assert client.retrieve_instance_frames(*uids(study[0]), [1]) == [study[0].PixelData]
    stored = client.retrieve_instance_frames(*uids(study[2]), [3, 1])
    assert all(
        np.array_equal(imagecodecs.jpegls_decode(frame), PIXELS[n]) for frame, n in zip(stored, (2, 0), strict=True)
    )
    decoded = client.retrieve_instance_frames(
        *uids(study[2]), [2], media_types=(("application/octet-stream", "1.2.840.10008.1.2.1"),)
    )
    assert decoded == [PIXELS[1].tobytes()]
    named = client.retrieve_instance_frames(*uids(study[2]), [1], media_types=(("image/jls", JPEGLSLossless),))
    assert np.array_equal(imagecodecs.jpegls_decode(named[0]), PIXELS[0])


def test_bulk_data(client: DICOMwebClient, study: list[FileDataset]) -> None:
    uri = client.retrieve_instance_metadata(*uids(study[0]))["7FE00010"]["BulkDataURI"]
    assert client.retrieve_bulkdata(uri) == [study[0].PixelData]


def test_rendered(client: DICOMwebClient, study: list[FileDataset]) -> None:
    picture = client.retrieve_instance_rendered(*uids(study[0]), media_types=("image/png",))
    assert picture.startswith(b"\x89PNG")
    assert client.retrieve_instance_frames_rendered(*uids(study[2]), [2], media_types=("image/jpeg",)).startswith(
        b"\xff\xd8"
    )


def test_a_large_store_in_chunks(client: DICOMwebClient, tmp_path: Path) -> None:
    client.set_chunk_size(100_000)
    original = image(Rows=1024, Columns=1024, PixelData=bytes(range(256)) * 8192)
    stored = client.store_instances([original])
    assert stored.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    got = client.retrieve_instance(*uids(original))
    assert got.PixelData == original.PixelData
    stream = io.BytesIO()
    got.save_as(stream)
    assert dcmread(io.BytesIO(stream.getvalue())).SOPInstanceUID == original.SOPInstanceUID


@pytest.mark.parametrize(
    ("media_type", "transfer_syntax", "decode"),
    [
        ("image/jls", "1.2.840.10008.1.2.4.80", imagecodecs.jpegls_decode),
        ("image/jp2", "1.2.840.10008.1.2.4.90", imagecodecs.jpeg2k_decode),
        ("image/jpeg", "1.2.840.10008.1.2.4.70", imagecodecs.jpeg8_decode),
    ],
)
def test_frames_in_an_asked_transfer_syntax(
    client: DICOMwebClient,
    study: list[FileDataset],
    media_type: str,
    transfer_syntax: str,
    decode: Callable[[bytes], np.ndarray],
) -> None:
    frames = client.retrieve_instance_frames(
        *uids(study[2]), frame_numbers=[3, 1], media_types=((media_type, transfer_syntax),)
    )
    assert np.array_equal(np.stack([decode(frame) for frame in frames]), PIXELS[[2, 0]])


@pytest.mark.parametrize("transfer_syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"])
def test_a_study_in_an_asked_transfer_syntax(
    client: DICOMwebClient, study: list[FileDataset], transfer_syntax: str
) -> None:
    made = client.retrieve_study(study[0].StudyInstanceUID, media_types=(("application/dicom", transfer_syntax),))
    assert {each.SOPInstanceUID for each in made} == {each.SOPInstanceUID for each in study}
    assert {each.file_meta.TransferSyntaxUID for each in made} == {transfer_syntax}
    (multi,) = (each for each in made if each.SOPInstanceUID == study[2].SOPInstanceUID)
    assert np.array_equal(multi.pixel_array, PIXELS)
