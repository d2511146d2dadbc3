"""One store request's body, fed in any pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs.dicomweb.accept import ContentType
from pacs.dicomweb.multipart import MultipartReader
from pacs.dicomweb.store_request import SinglePart, StoreRequest
from pacs.dicomweb.store_response import Failed, Result
from pacs.errors import ProtocolViolation, TooLarge
from pacs.model import Principal, Source, Stored
from pacs.settings import IngestSettings
from tests.dicomweb.served import DoorInMemory, archive_under, image, multipart_body, written

SOURCE = Source(Principal("test"), "STOW-RS")


def store(door: DoorInMemory, body: bytes, step: int) -> list[Result]:
    request = StoreRequest(door.ingest, SOURCE, MultipartReader("B"), None)
    for start in range(0, len(body), step):
        request.feed(body[start : start + step])
    request.close()
    return request.results()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=st.integers(1, 3000))
def test_any_pieces(door: DoorInMemory, step: int) -> None:
    originals = [image(), image(PatientComments="x" * 3000)]
    body, _ = multipart_body([written(original) for original in originals])
    results = store(door, body, step)
    assert all(isinstance(result, Stored) for result in results)
    assert [result.key.sop_instance_uid for result in results if isinstance(result, Stored)] == [
        original.SOPInstanceUID for original in originals
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=400), step=st.integers(1, 200), cut=st.integers(0, 1400))
def test_any_bytes_are_stored_or_refused(door: DoorInMemory, noise: bytes, step: int, cut: int) -> None:
    file = written(image())[:cut] + noise
    (result,) = store(door, b"--B\r\n\r\n" + file.replace(b"\r\n--B", b"") + b"\r\n--B--", step)
    assert isinstance(result, Stored | Failed)


def test_a_single_part(door: DoorInMemory) -> None:
    original = image()
    request = StoreRequest(door.ingest, SOURCE, SinglePart(ContentType("application/dicom")), None)
    for byte in written(original)[:200], written(original)[200:], b"":
        request.feed(byte)
    request.close()
    (stored,) = request.results()
    assert isinstance(stored, Stored)
    empty = StoreRequest(door.ingest, SOURCE, SinglePart(ContentType("application/dicom")), None)
    with pytest.raises(ProtocolViolation):
        empty.close()


def test_too_large_is_refused_while_it_arrives(tmp_path: Path) -> None:
    limits = IngestSettings(max_instance_bytes=1 << 20)
    with archive_under(tmp_path, limits) as (ingest, _, _):
        request = StoreRequest(ingest, SOURCE, MultipartReader("B"), None)
        body, _ = multipart_body([written(image(PixelData=b"\0" * (2 << 20))), written(image())])
        for start in range(0, len(body), 65536):
            request.feed(body[start : start + 65536])
        request.close()
        large, small = request.results()
    assert isinstance(large, Failed)
    assert isinstance(large.error, TooLarge)
    assert isinstance(small, Stored)
