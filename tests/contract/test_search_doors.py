"""Searches through both doors, from bytes to bytes, on both databases: what only the whole way shows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pacs.attributes import Attributes
from pacs.dimse.messages.command_builders import c_find_rq
from pacs.dimse.scp.query import QueryService
from pacs.dimse.scp.service import PresentationContext
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.storage.derived import DerivedStore
from tests.contract.searchable_attributes import PRIVATE, send, work
from tests.dicomweb.served import OneDoorInMemory
from tests.dimse.scp.fake_exchange import EXPLICIT, FakeExchange, decoded
from tests.ingest.small_archive import Place, encoded

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
CREATOR, ELEMENT = 0x00430010, 0x00431010


@pytest.fixture
def door(place: Place, tmp_path: Path) -> Iterator[OneDoorInMemory]:
    """QIDO-RS on the index; its `search` is what C-FIND asks, too."""
    retrieve = Retrieve(place.store, place.index, DerivedStore(tmp_path / "derived"))
    yield OneDoorInMemory(place.ingest, Search(place.index), retrieve)


def element(tag: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def c_find(door: OneDoorInMemory, level: str, keys: dict[int, bytes], extended: bytes = b"\1") -> list[Any]:
    """The identifiers that come for these keys, as pydicom reads them, by their tags' elements as given."""
    identifier = {0x00080052: element(0x00080052, "CS", level.encode()), 0x0020000D: element(0x0020000D, "UI", b"")}
    identifier |= keys
    exchange = FakeExchange(
        c_find_rq(1, STUDY_ROOT),
        b"".join(identifier[tag] for tag in sorted(identifier)),
        PresentationContext(1, STUDY_ROOT, EXPLICIT, extended=extended),
    )
    QueryService(door.search).serve(exchange)
    assert exchange.statuses[-1] == 0
    return [decoded(data_set, EXPLICIT) for _, data_set in exchange.responses[:-1]]


def private_elements(answer: dict[str, Any]) -> dict[str, list[str]]:
    return {tag: one["Value"] for tag, one in answer.items() if tag.startswith("0043")}


def test_a_private_attribute_comes_with_its_creator(
    place: Place, attributes: Attributes, door: OneDoorInMemory
) -> None:
    """PS3.18 §10.6.3.3, PS3.5 §7.8.1: alone, nobody knows whose it is."""
    attributes.add(PRIVATE)
    send(place, 1, private="A1")
    send(place, 2, private="A2", block=0x22)
    send(place, 3)
    work(attributes)
    own = {"00430010": ["GEMS_PARM_01"]}
    for asked in ("00431010=A2", "00430010=GEMS_PARM_01&00431010=A2", "includefield=00431010&StudyInstanceUID=1.2.2"):
        assert [private_elements(one) for one in door.get(f"/series?{asked}").json()] == [own | {"00431010": ["A2"]}]
    (answer,) = door.get("/series?includefield=00431010&StudyInstanceUID=1.2.3").json()
    assert private_elements(answer) == own
    (answer,) = door.get("/series?00432210=A2").json()
    assert private_elements(answer) == {"00430022": ["GEMS_PARM_01"], "00432210": ["A2"]}
    value = {ELEMENT: element(ELEMENT, "SH", b"A*")}
    for keys in (value, value | {CREATOR: element(CREATOR, "LO", b"GEMS_PARM_01")}):
        found = c_find(door, "SERIES", keys)
        assert {(str(one[CREATOR].value), str(one[ELEMENT].value)) for one in found} == {
            ("GEMS_PARM_01", "A1"),
            ("GEMS_PARM_01", "A2"),
        }
    found = c_find(door, "SERIES", {ELEMENT: element(ELEMENT, "SH", b"")})
    assert {(one[CREATOR].value, one[ELEMENT].value) for one in found} == {
        ("GEMS_PARM_01", value) for value in ("A1", "A2", "")
    }
    nobody = {CREATOR: element(CREATOR, "LO", b"NOBODY"), ELEMENT: element(ELEMENT, "SH", b"")}
    assert all(CREATOR not in one and ELEMENT not in one for one in c_find(door, "SERIES", nobody))


def test_of_two_creators_of_one_element_none_is_told(
    place: Place, attributes: Attributes, door: OneDoorInMemory
) -> None:
    attributes.add(PRIVATE)
    attributes.add('"OTHER",(0043,xx10)')
    send(place, 1, private="A1")
    work(attributes)
    (answer,) = door.get("/series?00431010=A1").json()
    assert "00430010" not in answer
    (answer,) = door.get("/series?00430010=GEMS_PARM_01&00431010=A1").json()
    assert private_elements(answer) == {"00430010": ["GEMS_PARM_01"], "00431010": ["A1"]}


@pytest.mark.parametrize(
    "asked", ["O'Brien^*", "O’BRIEN^Seán", "oʼbrien*", "O‘Brien*", "o`br?en*", "*’brien*", "O?Brien*"]
)
def test_an_apostrophe_is_one_however_it_is_typed(place: Place, door: OneDoorInMemory, asked: str) -> None:
    """Tablets make another of the one on the keyboard."""
    for number, name in enumerate(("O'Brien^Sean", "O’Brien^Seán", "OʼBrien^Sean", "OBrien^Sean"), 1):
        study = {"StudyInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.2.{number}.1"}
        place.send(encoded(number, SpecificCharacterSet="ISO_IR 192", PatientName=name, **study))
    answer = door.get(f"/studies?PatientName={quote(asked)}")
    assert sorted(one["0020000D"]["Value"][0] for one in answer.json()) == ["1.2.1", "1.2.2", "1.2.3"]
    keys = {0x00080005: element(0x00080005, "CS", b"ISO_IR 192"), 0x00100010: element(0x00100010, "PN", asked.encode())}
    assert len(c_find(door, "STUDY", keys)) == 3
