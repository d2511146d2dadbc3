from __future__ import annotations

import pytest

from pacs.access.application_entities import ApplicationEntities, UnknownApplicationEntity
from pacs.model import Principal
from pacs.settings import DicomSettings, InvalidSettings, PeerSettings

PEERS = (
    PeerSettings(aet="CT1", host="192.0.2.10", hospital="seoul"),
    PeerSettings(aet="CT1", host="2001:db8::1", hospital="busan"),
    PeerSettings(aet="ANYWHERE"),
)
CONFIGURED = ApplicationEntities(DicomSettings(host="0.0.0.0", peers=PEERS))


@pytest.mark.parametrize(
    ("calling", "address", "principal"),
    [
        ("CT1", "192.0.2.10", Principal("CT1", "seoul")),
        (" CT1 ", "::ffff:192.0.2.10", Principal("CT1", "seoul")),
        ("CT1", "2001:0db8:0::1", Principal("CT1", "busan")),
        ("ANYWHERE", "198.51.100.7", Principal("ANYWHERE")),
    ],
)
def test_a_configured_peer_is_its_hospitals(calling: str, address: str, principal: Principal) -> None:
    assert CONFIGURED.identify(calling, "PACS", address) == principal


@pytest.mark.parametrize(
    ("calling", "called", "address", "is_called"),
    [
        ("CT1", "OTHER", "192.0.2.10", True),
        ("CT1", "pacs", "192.0.2.10", True),
        ("CT1", "PACS", "192.0.2.11", False),
        ("ct1", "PACS", "192.0.2.10", False),
        ("STRANGER", "PACS", "192.0.2.10", False),
        ("", "PACS", "192.0.2.10", False),
    ],
)
def test_others_are_refused_with_the_right_reason(calling: str, called: str, address: str, is_called: bool) -> None:
    with pytest.raises(UnknownApplicationEntity) as refused:
        CONFIGURED.identify(calling, called, address)
    assert refused.value.is_called is is_called


def test_without_peers_anybody_on_this_machine_is_taken() -> None:
    assert ApplicationEntities(DicomSettings()).identify("WHO", "PACS", "127.0.0.1") == Principal("WHO")


def test_without_peers_nobody_is_taken_from_the_network() -> None:
    with pytest.raises(UnknownApplicationEntity, match=r"not in dicom\.peers"):
        ApplicationEntities(DicomSettings(host="0.0.0.0")).identify("WHO", "PACS", "192.0.2.1")


@pytest.mark.parametrize("calling", ["", "A\\B", "A\nB", "SEVENTEEN_LETTERS", "한글"])
def test_what_is_no_ae_title_is_refused_even_here(calling: str) -> None:
    with pytest.raises(UnknownApplicationEntity):
        ApplicationEntities(DicomSettings()).identify(calling, "PACS", "127.0.0.1")


def test_a_host_that_is_a_name_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(InvalidSettings, match="no IP address"):
        ApplicationEntities(DicomSettings(peers=(PeerSettings(aet="CT1", host="ct1.example"),)))
