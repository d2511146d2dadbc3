"""TLS with the clients that hospitals have: dcmtk and pynetdicom, towards us and as C-MOVE destinations."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove, Verification

from benchmarks.free_port import free_port
from benchmarks.synthetic_ct import Slice, make_series, part10
from tests.certificates import Authority, Certified
from tests.running_archive import RunningArchive

pytestmark = [pytest.mark.dcmtk, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Site:
    archive: RunningArchive
    hospital: Authority
    stranger: Authority
    scanner: Certified
    slice: Slice
    image: Path
    receiving: Path
    """Where the destination puts what it gets."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    hospital, stranger = Authority(folder / "pki", "hospital"), Authority(folder / "other", "stranger")
    ours, scanner = hospital.certify("pacs"), hospital.certify("scanner")
    image = folder / "image.dcm"
    one = make_series(1, seed=1)[0]
    image.write_bytes(part10(one))
    receiving = folder / "received"
    receiving.mkdir()
    port = free_port()
    common = {"host": "127.0.0.1", "port": port, "tls": True}
    archive = RunningArchive(
        folder / "archive",
        PACS_DICOM__TLS__CERTIFICATE=str(ours.certificate),
        PACS_DICOM__TLS__KEY=str(ours.key),
        PACS_DICOM__TLS__CLIENT_CA=str(hospital.ca),
        PACS_DICOM__DESTINATIONS=json.dumps(
            [
                {"aet": "WS", "ca": str(hospital.ca), **common},
                {"aet": "STRANGE", "ca": str(stranger.ca), **common},
                {"aet": "MISNAMED", "ca": str(hospital.ca), "certificate_name": "elsewhere.example", **common},
                {"aet": "PLAIN", "host": "127.0.0.1", "port": port},
            ]
        ),
    )
    storescp = subprocess.Popen(
        ["storescp", "+tls", scanner.key, scanner.certificate, "+cf", hospital.ca, "-od", receiving, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with archive:
            yield Site(archive, hospital, stranger, scanner, one, image, receiving)
    finally:
        storescp.terminate()
        storescp.wait()


def _tls(own: Certified, authority: Authority) -> list[str]:
    return ["+tls", str(own.key), str(own.certificate), "+cf", str(authority.ca)]


def _storescu(site: Site, *tls: str) -> subprocess.CompletedProcess[str]:
    address = ["127.0.0.1", str(site.archive.dicom_port)]
    return subprocess.run(
        ["storescu", "-aec", "PACS", *tls, *address, str(site.image)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_storescu_stores_over_tls(site: Site) -> None:
    done = _storescu(site, *_tls(site.scanner, site.hospital))
    assert done.returncode == 0, done.stderr
    assert site.archive.events("association accepted")[-1]["tls"].startswith("TLSv1.")


def test_storescu_with_the_wrong_authority_or_without_tls_is_refused(site: Site) -> None:
    before = len(site.archive.events("association accepted"))
    liar = site.stranger.certify("liar")
    assert _storescu(site, *_tls(liar, site.hospital)).returncode != 0
    assert _storescu(site, *_tls(site.scanner, site.stranger)).returncode != 0
    assert _storescu(site).returncode != 0
    assert len(site.archive.events("association accepted")) == before
    reasons = [event["why"] for event in site.archive.events("connection refused")]
    assert any("does not speak TLS" in why for why in reasons), reasons
    assert any("certificate is refused" in why for why in reasons), reasons


def _associate(site: Site, sop_class: str) -> Association:
    entity = AE("SCANNER")
    entity.add_requested_context(sop_class)
    context = site.hospital.client(site.scanner)
    association = entity.associate(
        "127.0.0.1", site.archive.dicom_port, ae_title="PACS", tls_args=(context, "localhost")
    )
    assert association.is_established
    return association


def test_pynetdicom_echoes_over_tls(site: Site) -> None:
    association = _associate(site, Verification)
    assert association.send_c_echo().Status == 0
    association.release()


@pytest.mark.parametrize(
    ("destination", "is_reached"), [("WS", True), ("STRANGE", False), ("MISNAMED", False), ("PLAIN", False)]
)
def test_c_move_over_tls(site: Site, destination: str, is_reached: bool) -> None:
    assert _storescu(site, *_tls(site.scanner, site.hospital)).returncode == 0
    for file in site.receiving.iterdir():
        file.unlink()
    association = _associate(site, StudyRootQueryRetrieveInformationModelMove)
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = site.slice.study_instance_uid
    *_, (status, _) = association.send_c_move(keys, destination, StudyRootQueryRetrieveInformationModelMove)
    association.release()
    assert (status.Status == 0) is is_reached, status
    assert len(list(site.receiving.iterdir())) == int(is_reached)


def test_a_missing_key_ends_the_start_with_its_name(tmp_path: Path, site: Site) -> None:
    archive = RunningArchive(
        tmp_path / "archive",
        PACS_DICOM__TLS__CERTIFICATE=str(site.scanner.certificate),
        PACS_DICOM__TLS__KEY=str(tmp_path / "missing.key"),
    )
    done = archive.run("serve")
    assert done.returncode == 2
    assert "dicom.tls.key: cannot read" in done.stderr
