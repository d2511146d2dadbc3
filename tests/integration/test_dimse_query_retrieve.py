"""C-FIND, C-MOVE and C-GET as other people's tools speak them: dcmtk's findscu, movescu, getscu, and pynetdicom."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from benchmarks.free_port import free_port
from pacs.app import Archive, dimse_server, open_archive
from pacs.model import Principal, Source
from pacs.part10.file_meta import read_file_meta
from pacs.settings import DestinationSettings, DicomSettings, Settings
from tests.waiting import wait_until

pytestmark = [pytest.mark.dcmtk, pytest.mark.timeout(600)]

ROOT = "1.2.826.0.1.3680043.9.9999"
CT_STUDY, CT_SERIES = f"{ROOT}.1", f"{ROOT}.1.1"
MR_STUDY, MR_SERIES = f"{ROOT}.2", f"{ROOT}.2.1"
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"
JPEG_LS = "1.2.840.10008.1.2.4.80"
IMPORT = Source(Principal("test"), "import")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_files(folder: Path) -> None:
    """Five CT slices of one patient in Explicit VR, one MR image in JPEG-LS of a patient with a Korean name."""
    for number in range(1, 6):
        ct = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
        ct.PatientName, ct.PatientID = "Tester^Älter", "CT-1"
        ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.StudyDate = CT_STUDY, CT_SERIES, "20260102"
        ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = f"{CT_SERIES}.{number}"
        ct.InstanceNumber, ct.AccessionNumber = number, "ACC1"
        ct.save_as(folder / f"ct{number}.dcm")
    mr = dcmread(str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)))
    mr.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    mr.PatientName, mr.PatientID = KOREAN, "MR-1"
    mr.StudyInstanceUID, mr.SeriesInstanceUID, mr.StudyDate = MR_STUDY, MR_SERIES, "20250607"
    mr.SOPInstanceUID = mr.file_meta.MediaStorageSOPInstanceUID = f"{MR_SERIES}.1"
    mr.save_as(folder / "mr1.dcm")


@dataclass
class Served:
    archive: Archive
    port: int
    files: dict[str, Path]
    """By SOP Instance UID."""
    storescp_port: int
    """AE title STORESCP; nothing listens there until a test starts it."""

    def run(self, tool: str, *arguments: str | bytes, folder: Path) -> subprocess.CompletedProcess[str]:
        output = [] if tool == "movescu" else ["-od", str(folder)]
        return subprocess.run(
            [tool, "-d", "-aec", "PACS", *arguments, *output, "127.0.0.1", str(self.port)],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=200,
            check=False,
        )

    def find(self, *arguments: str | bytes, folder: Path) -> list[Dataset]:
        """Responses of findscu, in order."""
        done = self.run("findscu", "-X", *arguments, folder=folder)
        assert done.returncode == 0, done.stdout
        assert "0x0000: Success" in done.stdout
        return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    storescp_port, gone_port, own_port = free_port(), free_port(), free_port()
    settings = Settings(
        data=tmp_path_factory.mktemp("archive"),
        dicom=DicomSettings(
            destinations=(
                DestinationSettings(aet="STORESCP", host="127.0.0.1", port=storescp_port),
                DestinationSettings(aet="GONE", host="127.0.0.1", port=gone_port),
                DestinationSettings(aet="PACS", host="127.0.0.1", port=own_port),
            )
        ),
    )
    archive = open_archive(settings)
    files = {}
    for path in sorted(folder.iterdir()):
        archive.ingest.store_file(IMPORT, path.read_bytes())
        files[str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)] = path
    server = dimse_server(archive, socket.create_server(("127.0.0.1", own_port)))
    server.start()
    yield Served(archive, own_port, files, storescp_port)
    server.stop(5)
    archive.close()


@pytest.fixture
def storescp(served: Served, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Start dcmtk's storescp with some options; gives the folder it writes to."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> Path:
        folder = tmp_path / "storescp"
        folder.mkdir()
        command = ["storescp", "-aet", "STORESCP", *options, "-od", str(folder), str(served.storescp_port)]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until(lambda: listens(served.storescp_port))
        return folder

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
    wait_until(lambda: not listens(served.storescp_port))


def data_set_of(path: Path) -> bytes:
    whole = path.read_bytes()
    return whole[read_file_meta(whole).data_set_offset :]


def associate(
    served: Served, model: str, *handlers: tuple[evt.InterventionEvent, Callable[..., object]]
) -> Association:
    """One of pynetdicom with one query/retrieve context."""
    ae = AE("SOMEBODY")
    ae.add_requested_context(model)
    association = ae.associate("127.0.0.1", served.port, ae_title="PACS", evt_handlers=list(handlers))
    assert association.is_established
    return association


# -- C-FIND


def test_find_studies_by_name(served: Served, tmp_path: Path) -> None:
    found = served.find(
        "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=TESTER*", "-k", "StudyInstanceUID",
        "-k", "ModalitiesInStudy", "-k", "NumberOfStudyRelatedInstances", "-k", "PatientBirthTime", folder=tmp_path,
    )  # fmt: skip
    assert [one.StudyInstanceUID for one in found] == [CT_STUDY]
    [study] = found
    assert study.QueryRetrieveLevel == "STUDY"
    assert study.RetrieveAETitle == "PACS"
    assert study.ModalitiesInStudy == "CT"
    assert study.NumberOfStudyRelatedInstances == 5
    assert str(study.PatientName) == "Tester^Älter"
    assert study.SpecificCharacterSet == "ISO_IR 192"
    assert "PatientBirthTime" in study


@pytest.mark.parametrize("model", ["-S", "-P"])
def test_find_every_level_from_the_top(served: Served, tmp_path: Path, model: str) -> None:
    patient = [] if model == "-S" else ["-k", "PatientID=CT-1"]
    if model == "-P":
        patients = tmp_path / "patients"
        patients.mkdir()
        keys = ["-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID", "-k", "NumberOfPatientRelatedInstances"]
        found = served.find(model, *keys, folder=patients)
        assert {one.PatientID: one.NumberOfPatientRelatedInstances for one in found} == {"CT-1": 5, "MR-1": 1}
    series = tmp_path / "series"
    series.mkdir()
    keys = ["-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={CT_STUDY}", "-k", "SeriesInstanceUID"]
    found = served.find(model, *patient, *keys, "-k", "NumberOfSeriesRelatedInstances", folder=series)
    assert [(one.SeriesInstanceUID, one.NumberOfSeriesRelatedInstances) for one in found] == [(CT_SERIES, 5)]
    images = tmp_path / "images"
    images.mkdir()
    keys = ["-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={CT_STUDY}", "-k", "SOPInstanceUID"]
    found = served.find(
        model, *patient, *keys, "-k", f"SeriesInstanceUID={CT_SERIES}", "-k", "InstanceNumber", "-k", "Rows",
        folder=images,
    )  # fmt: skip
    assert [one.SOPInstanceUID for one in found] == [f"{CT_SERIES}.{number}" for number in range(1, 6)]
    assert [one.Rows for one in found] == [128] * 5


@pytest.mark.parametrize("syntax", ["-xe", "-xi", "-xb", "-xd"])
def test_find_in_every_transfer_syntax_findscu_proposes(served: Served, tmp_path: Path, syntax: str) -> None:
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=CT-1", "-k", "StudyInstanceUID"]
    assert [one.StudyInstanceUID for one in served.find("-S", syntax, *keys, folder=tmp_path)] == [CT_STUDY]


@pytest.mark.parametrize(
    ("character_set", "name", "encoding"),
    [
        ("\\ISO 2022 IR 149", b"*\x1b$)C\xc8\xab*", None),
        ("ISO 2022 IR 149", "*홍*".encode("euc_kr"), None),
        ("ISO_IR 192", "*홍*".encode(), "ISO_IR 192"),
        ("", "*홍*".encode(), "ISO_IR 192"),
        ("ISO_IR 100", b"Hong*", "ISO_IR 192"),
    ],
)
def test_korean_names(served: Served, tmp_path: Path, character_set: str, name: bytes, encoding: str | None) -> None:
    keys: list[str | bytes] = ["-k", f"SpecificCharacterSet={character_set}"] if character_set else []
    keys += ["-k", "QueryRetrieveLevel=STUDY", "-k", b"PatientName=" + name, "-k", "StudyInstanceUID"]
    [found] = served.find("-S", *keys, folder=tmp_path)
    assert found.StudyInstanceUID == MR_STUDY
    assert str(found.PatientName) == KOREAN
    answered = found.SpecificCharacterSet
    answered = answered if isinstance(answered, str) else "\\".join(answered)
    assert answered == (encoding or character_set)


@pytest.mark.parametrize(
    ("arguments", "comment"),
    [
        (["-S", "-k", "PatientName"], "no Query/Retrieve Level"),
        (["-S", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID"], "not of Study Root"),
        (["-S", "-k", "QueryRetrieveLevel=SERIES", "-k", "SeriesInstanceUID"], "Study Instance UID missing"),
        (["-P", "-k", "QueryRetrieveLevel=SERIES", "-k", "SeriesInstanceUID"], "Study Instance UID missing"),
        (["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyDate=2026-13-77"], "Study"),
    ],
)
def test_wrong_queries_are_told_so(served: Served, tmp_path: Path, arguments: list[str], comment: str) -> None:
    done = served.run("findscu", *arguments, folder=tmp_path)
    assert "0xa900" in done.stdout.lower(), done.stdout
    assert comment in done.stdout


def test_a_model_we_do_not_have_is_declined_at_the_door(served: Served, tmp_path: Path) -> None:
    done = served.run("findscu", "-W", "-k", "PatientName", folder=tmp_path)
    assert done.returncode != 0
    assert "No Acceptable Presentation Contexts" in done.stdout


def test_unsupported_keys_come_with_a_warning(served: Served, tmp_path: Path) -> None:
    done = served.run(
        "findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={CT_STUDY}",
        "-k", "ContrastBolusAgent", folder=tmp_path,
    )  # fmt: skip
    assert "0xff01" in done.stdout.lower()
    assert "0x0000: Success" in done.stdout


def test_cancel_of_a_find(served: Served, tmp_path: Path) -> None:
    done = served.run(
        "findscu", "-S", "--cancel", "1", "-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={CT_STUDY}",
        "-k", f"SeriesInstanceUID={CT_SERIES}", "-k", "SOPInstanceUID", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    # Five answers may be on their way before the cancel comes.
    assert "0xfe00" in done.stdout.lower() or "0x0000: Success" in done.stdout


def test_pynetdicom_finds_by_date_and_modality(served: Served) -> None:
    association = associate(served, StudyRootQueryRetrieveInformationModelFind)
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyDate = "20251231-20260201"
    query.ModalitiesInStudy = "CT"
    query.StudyInstanceUID = ""
    answers = list(association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    query.StudyDate = "20251231-"
    query.ModalitiesInStudy = "MR"
    none = list(association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    association.release()
    assert [status.Status for status, _ in answers] == [0xFF00, 0x0000]
    assert answers[0][1].StudyInstanceUID == CT_STUDY
    assert [status.Status for status, _ in none] == [0x0000]


# -- C-MOVE


def move(served: Served, folder: Path, *arguments: str, destination: str = "STORESCP") -> str:
    return served.run("movescu", "-aem", destination, *arguments, folder=folder).stdout


def test_move_sends_the_stored_bytes(served: Served, storescp: Callable[..., Path], tmp_path: Path) -> None:
    received = storescp("+xa", "+B")
    for study in (CT_STUDY, MR_STUDY):
        output = move(served, tmp_path, "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
        assert "0x0000: Success" in output, output
    files = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in received.iterdir()}
    assert {uid: data_set_of(path) for uid, path in files.items()} == {
        uid: data_set_of(path) for uid, path in served.files.items()
    }
    assert dcmread(files[f"{MR_SERIES}.1"]).file_meta.TransferSyntaxUID == JPEG_LS


@pytest.mark.parametrize("accepts", ["+xe", "+xi"])
def test_move_decompresses_for_who_takes_no_jpeg_ls(
    served: Served, storescp: Callable[..., Path], tmp_path: Path, accepts: str
) -> None:
    received = storescp(accepts, "+B")
    output = move(served, tmp_path, "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={MR_STUDY}")
    assert "0x0000: Success" in output, output
    [path] = received.iterdir()
    sent, stored = dcmread(path), dcmread(served.files[f"{MR_SERIES}.1"])
    assert sent.file_meta.TransferSyntaxUID.is_implicit_VR is (accepts == "+xi")
    assert np.array_equal(sent.pixel_array, stored.pixel_array)
    assert str(sent.PatientName) == KOREAN


def test_move_of_chosen_images(served: Served, storescp: Callable[..., Path], tmp_path: Path) -> None:
    received = storescp("+xa", "+B")
    wanted = f"{CT_SERIES}.2\\{CT_SERIES}.4"
    output = move(
        served, tmp_path, "-P", "-k", "QueryRetrieveLevel=IMAGE", "-k", "PatientID=CT-1",
        "-k", f"StudyInstanceUID={CT_STUDY}", "-k", f"SeriesInstanceUID={CT_SERIES}", "-k", f"SOPInstanceUID={wanted}",
    )  # fmt: skip
    assert "0x0000: Success" in output, output
    assert sorted(str(dcmread(path).SOPInstanceUID) for path in received.iterdir()) == wanted.split("\\")


def test_move_of_a_patient_counts(served: Served, storescp: Callable[..., Path], tmp_path: Path) -> None:
    storescp("+xa")
    output = move(served, tmp_path, "-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=CT-1")
    assert output.count("0xff00: Pending") >= 5
    for line in ("Completed Suboperations       : 5", "Remaining Suboperations       : 3"):
        assert line in output


@pytest.mark.parametrize(
    ("destination", "keys", "status"),
    [
        ("NOWHERE", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={CT_STUDY}"], "0xa801"),
        ("GONE", ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={CT_STUDY}"], "0xa702"),
        ("GONE", ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3.4"], "0x0000"),
        ("STORESCP", [f"StudyInstanceUID={CT_STUDY}"], "0xa900"),
        ("STORESCP", ["QueryRetrieveLevel=STUDY"], "0xa900"),
        ("STORESCP", ["QueryRetrieveLevel=IMAGE", f"SOPInstanceUID={CT_SERIES}.1"], "0xa900"),
    ],
)
def test_moves_that_cannot_be(served: Served, tmp_path: Path, destination: str, keys: list[str], status: str) -> None:
    arguments = [argument for key in keys for argument in ("-k", key)]
    output = move(served, tmp_path, "-S", *arguments, destination=destination)
    assert f"dimse status                  : {status}" in output.lower(), output


def test_move_to_ourselves_finds_everything_there_already(served: Served, tmp_path: Path) -> None:
    arguments = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={CT_STUDY}"]
    output = move(served, tmp_path, *arguments, destination="PACS")
    assert "0x0000: Success" in output, output
    assert "Completed Suboperations       : 5" in output


def test_cancel_of_a_move(served: Served) -> None:
    """The destination answers its second image only when the cancel is on the wire."""
    is_cancelling, is_cancel_sent, is_released = threading.Event(), threading.Event(), threading.Event()
    received: list[str] = []

    def store(event: evt.Event) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        assert len(received) < 2 or is_cancel_sent.wait(20)
        return 0x0000

    def sent(_event: evt.Event) -> None:
        if is_cancelling.is_set():
            is_cancel_sent.set()

    destination = AE("STORESCP")
    destination.add_supported_context(CTImageStorage)
    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_RELEASED, lambda _event: is_released.set())]
    scp = destination.start_server(("127.0.0.1", served.storescp_port), block=False, evt_handlers=handlers)
    association = associate(served, StudyRootQueryRetrieveInformationModelMove, (evt.EVT_DATA_SENT, sent))
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = CT_STUDY
    model = StudyRootQueryRetrieveInformationModelMove
    responses = []
    for response in association.send_c_move(query, "STORESCP", model, msg_id=5):
        responses.append(response)
        if len(responses) == 1:
            is_cancelling.set()
            association.send_c_cancel(5, None, model)
    association.release()
    assert is_released.wait(20), "the destination's association is released, not left open"
    scp.shutdown()
    status, identifier = responses[-1]
    assert status.Status == 0xFE00
    assert (status.NumberOfCompletedSuboperations, status.NumberOfRemainingSuboperations) == (2, 3)
    assert identifier["FailedSOPInstanceUIDList"].is_empty
    assert len(received) == 2


# -- C-GET


def test_getscu_gets_a_study(served: Served, tmp_path: Path) -> None:
    done = served.run(
        "getscu", "-S", "+B", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={CT_STUDY}", folder=tmp_path
    )
    assert done.returncode == 0, done.stdout
    files = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in tmp_path.iterdir()}
    assert {uid: data_set_of(path) for uid, path in files.items()} == {
        uid: data_set_of(path) for uid, path in served.files.items() if uid.startswith(CT_SERIES)
    }


@pytest.mark.parametrize("prefers", ["+x=", "+xe", "+xb", "+xi", "+xs", "+xv", "+xt", "+xr"])
@pytest.mark.parametrize(("study", "series", "count"), [(CT_STUDY, CT_SERIES, 5), (MR_STUDY, MR_SERIES, 1)])
def test_getscu_gets_everything_whatever_it_prefers(
    served: Served, tmp_path: Path, prefers: str, study: str, series: str, count: int
) -> None:
    """It offers a preferred transfer syntax and the uncompressed ones in a single context of each SOP class."""
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    done = served.run("getscu", "-P", prefers, "+B", *keys, folder=tmp_path)
    assert done.returncode == 0, done.stdout
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == count, done.stdout
    got, original = dcmread(paths[0]), served.files[str(dcmread(paths[0]).SOPInstanceUID)]
    assert got.SeriesInstanceUID == series
    assert np.array_equal(got.pixel_array, dcmread(original).pixel_array)


@pytest.mark.parametrize(
    ("has_role", "status", "completed"), [(True, 0x0000, 5), (False, 0xA702, 0)], ids=["with role", "without role"]
)
def test_get_needs_the_scp_role(served: Served, has_role: bool, status: int, completed: int) -> None:
    received: dict[str, bytes] = {}

    def store(event: evt.Event) -> int:
        received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0x0000

    ae = AE("GETTER")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
    association = ae.associate(
        "127.0.0.1",
        served.port,
        ae_title="PACS",
        ext_neg=[build_role(CTImageStorage, scp_role=True)] if has_role else [],
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    assert association.is_established
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID, query.SeriesInstanceUID = CT_STUDY, CT_SERIES
    responses = list(association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet))
    association.release()
    final, identifier = responses[-1]
    assert final.Status == status
    assert final.NumberOfCompletedSuboperations == completed
    assert len(received) == completed
    if has_role:
        assert [one.NumberOfRemainingSuboperations for one, _ in responses[:-1]] == [4, 3, 2, 1, 0]
        assert all(data == data_set_of(served.files[uid]) for uid, data in received.items())
    else:
        assert len(identifier.FailedSOPInstanceUIDList) == 5


def test_cancel_of_a_get(served: Served) -> None:
    """Sent before the first image is answered, so that it comes in the middle of a sub-operation."""

    def store(event: evt.Event) -> int:
        event.assoc.send_c_cancel(7, None, StudyRootQueryRetrieveInformationModelGet)
        return 0x0000

    ae = AE("GETTER")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
    roles = [build_role(CTImageStorage, scp_role=True)]
    association = ae.associate(
        "127.0.0.1", served.port, ae_title="PACS", ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = CT_STUDY
    final, identifier = list(association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet, msg_id=7))[-1]
    association.release()
    assert final.Status == 0xFE00
    assert (final.NumberOfCompletedSuboperations, final.NumberOfRemainingSuboperations) == (1, 4)
    assert identifier["FailedSOPInstanceUIDList"].is_empty
