"""Names in every character set of PS3.5, as stored bytes, found by requests in every set that can write them.

The bytes are those of the examples in PS3.5 Annexes H (Japanese), I (Korean), J (Unicode, GB18030, GBK) and K (GB2312),
and of names in the single-byte sets. Requests are encoded, and answers read, by pydicom.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset

from pacs.dimse.messages.command_builders import c_find_rq
from pacs.dimse.scp.query import QueryService
from pacs.dimse.scp.service import PresentationContext
from pacs.ingest import Ingest
from pacs.model import Principal, Source
from pacs.query import Search
from pacs.retrieve import Retrieve
from tests.dicomweb.served import DoorInMemory, archive_under
from tests.dimse.scp.fake_exchange import EXPLICIT, FakeExchange, decoded, encoded

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.9.9997"

NAMES: list[tuple[str, str, bytes]] = [
    ("", "Buc^Jerome", b"Buc^Jerome"),
    ("ISO_IR 100", "Buc^Jérôme", bytes.fromhex("4275635e4ae972f46d65")),
    ("ISO_IR 100", "Äneas^Rüdiger", bytes.fromhex("c46e6561735e52fc6469676572")),
    ("ISO_IR 101", "Wałęsa^Łucja", b"Wa\xb3\xeasa^\xa3ucja"),
    ("ISO_IR 109", "Ĥoĵo^Ĝi", b"\xa6o\xbco^\xd8i"),
    ("ISO_IR 110", "Āboliņš^Ģirts", b"\xc0boli\xf1\xb9^\xabirts"),
    ("ISO_IR 148", "Çavuşoğlu^İsmail", b"\xc7avu\xfeo\xf0lu^\xddsmail"),
    ("ISO_IR 203", "Œuvrard^Žofie€", b"\xbcuvrard^\xb4ofie\xa4"),
    ("ISO_IR 144", "Люкceмбypг", bytes.fromhex("bbeeda6365dcd17970d3")),
    ("ISO_IR 127", "قباني^لنزار", bytes.fromhex("e2c8c7e6ea5ee4e6d2c7d1")),
    ("ISO_IR 126", "Διονυσιος", bytes.fromhex("c4e9efedf5f3e9eff2")),
    ("ISO_IR 138", "שרון^דבורה", bytes.fromhex("f9f8e5ef5ee3e1e5f8e4")),
    ("ISO_IR 166", "นามสกุล^ชื่อ", b"\xb9\xd2\xc1\xca\xa1\xd8\xc5^\xaa\xd7\xe8\xcd"),
    (
        "\\ISO 2022 IR 87",  # PS3.5 H.3.1
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        bytes.fromhex(
            "59616d6164615e5461726f753d1b24423b3345441b28425e1b244242404f3a1b2842"
            "3d1b24422464245e24401b28425e1b2442243f246d24261b2842"
        ),
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",  # PS3.5 H.3.2
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        bytes.fromhex(
            "d4cfc0de5ec0dbb33d1b24423b3345441b284a5e1b244242404f3a1b284a3d1b24422464245e24401b284a5e1b2442243f246d24261b284a"
        ),
    ),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ｼﾞﾛｳ", bytes.fromhex("d4cfc0de5ebcdedbb3")),
    ("\\ISO 2022 IR 87\\ISO 2022 IR 159", "=丂丄^太郎", b"=\x1b$(D\x30\x21\x30\x22\x1b(B^\x1b$BB@O:\x1b(B"),
    (
        "\\ISO 2022 IR 149",  # PS3.5 I.2
        "Hong^Gildong=洪^吉洞=홍^길동",
        bytes.fromhex("486f6e675e47696c646f6e673d1b242943fbf35e1b242943d1ced4d73d1b242943c8ab5e1b242943b1e6b5bf"),
    ),
    (
        "ISO_IR 192",  # PS3.5 J.1
        "Wang^XiaoDong=王^小東",
        bytes.fromhex("57616e675e5869616f446f6e673de78e8b5ee5b08fe69db13d"),
    ),
    ("GB18030", "Wang^XiaoDong=王^小东", bytes.fromhex("57616e675e5869616f446f6e673dcdf55ed0a1b6ab3d")),
    ("GBK", "Li^Na=李^娜", b"Li^Na=\xc0\xee^\xc4\xc8"),
    (
        "\\ISO 2022 IR 58",  # PS3.5 K.2
        "Zhang^XiaoDong=张^小东",
        bytes.fromhex("5a68616e675e5869616f446f6e673d1b242941d5c55e1b242941d0a1b6ab3d"),
    ),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", "Jérôme^Люб", b"J\xe9r\xf4me^\x1b-L\xbb\xee\xd1"),
    ("ISO 2022 IR 6\\ISO 2022 IR 126\\ISO 2022 IR 138", "Διο^שרון", b"\x1b-F\xc4\xe9\xef^\x1b-H\xf9\xf8\xe5\xef"),
    ("ISO 2022 IR 100\\ISO 2022 IR 203", "Éa^Œb", b"\xc9a^\x1b-b\xbcb"),
    ("GB18030", "许^蓋功鱻", "许^蓋功鱻".encode("gb18030")),  # trail bytes among ASCII, as backslash and circumflex are
]
SETS = sorted({name for name, _, _ in NAMES} | {"ISO_IR 6", "ISO 2022 IR 100\\ISO 2022 IR 149"})


def _element(tag: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def _file(number: int, character_set: str, name: bytes) -> bytes:
    """A Part 10 file without an image, its text as given."""
    uid = f"{ROOT}.{number}".encode()
    meta = _element(0x00020002, "UI", CT.encode()) + _element(0x00020003, "UI", uid + b".1.1")
    meta += _element(0x00020010, "UI", EXPLICIT.encode())
    data_set = [
        _element(0x00080005, "CS", character_set.encode()) if character_set else b"",
        _element(0x00080016, "UI", CT.encode()),
        _element(0x00080018, "UI", uid + b".1.1"),
        _element(0x00080060, "CS", b"CT"),
        _element(0x00100010, "PN", name),
        _element(0x00100020, "LO", f"P{number}".encode()),
        _element(0x0020000D, "UI", uid),
        _element(0x0020000E, "UI", uid + b".1"),
    ]
    return b"\0" * 128 + b"DICM" + _element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + b"".join(data_set)


class Door(DoorInMemory):
    """Its application is made once."""

    def __init__(self, ingest: Ingest, search: Search, retrieve: Retrieve) -> None:
        super().__init__(ingest, search, retrieve)
        self._application = super().application()

    def application(self) -> Any:
        return self._application


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    """One study for each of the names."""
    folder: Path = tmp_path_factory.mktemp("archive")
    with archive_under(folder) as (ingest, search, retrieve):
        for number, (character_set, _, stored) in enumerate(NAMES):
            ingest.store_file(Source(Principal("test"), "import"), _file(number, character_set, stored))
        yield Door(ingest, search, retrieve)


def _asked_for(name: str) -> Iterator[str]:
    """A component group alone, its beginning and its middle; all groups, and each in its place."""
    groups = name.split("=")
    for number, group in enumerate(groups):
        if group:
            yield group
            yield f"{group[:2]}*"
            yield f"*{group[1:-1]}*"
            yield f"?{group[1:]}"
            yield "=" * number + group if number else group.upper()
    yield name


def _can_write(character_set: str, text: str) -> bool:
    """Whether pydicom can say it so. It does not know ISO_IR 203, and takes Latin-1 for the default repertoire."""
    is_default = character_set.partition("\\")[0] in ("", "ISO_IR 6", "ISO 2022 IR 6")
    if "203" in character_set or (is_default and any("\x80" <= character <= "\xff" for character in text)):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return bool(decoded(encoded(_query(character_set, text), EXPLICIT), EXPLICIT).PatientName == text)
    except (UserWarning, UnicodeError, ValueError):
        return False


def _query(character_set: str, name: str) -> Dataset:
    query = Dataset()
    if character_set:
        query.SpecificCharacterSet = character_set.split("\\")
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = ""
    query.PatientName = name
    return query


def _find(door: DoorInMemory, query: Dataset) -> list[Dataset]:
    exchange = FakeExchange(
        c_find_rq(1, STUDY_ROOT), encoded(query, EXPLICIT), PresentationContext(1, STUDY_ROOT, EXPLICIT)
    )
    QueryService(door.search).serve(exchange)
    assert exchange.statuses[-1] == 0x0000
    return [decoded(data_set, EXPLICIT) for _, data_set in exchange.responses[:-1]]


@pytest.mark.parametrize("character_set", SETS)
def test_c_find_in_each_character_set_that_can_say_it(door: DoorInMemory, character_set: str) -> None:
    asked = 0
    for number, (_, name, _) in enumerate(NAMES):
        for key in _asked_for(name):
            if not _can_write(character_set, key):
                continue
            asked += 1
            found = {answer.StudyInstanceUID: answer for answer in _find(door, _query(character_set, key))}
            assert f"{ROOT}.{number}" in found, (key, name)
            answer = found[f"{ROOT}.{number}"]
            answered_in = answer.get("SpecificCharacterSet", "")
            answered_in = "\\".join([answered_in] if isinstance(answered_in, str) else answered_in)
            assert answered_in in (character_set, "ISO_IR 192")
            if _can_write(character_set, name):
                assert answered_in == character_set, (name, "what the requester can read is not sent in UTF-8")
            if "203" not in answered_in:
                # pydicom leaves the escape to GB2312 in the text that it reads.
                assert str(answer.PatientName).replace("\x1b$)A", "") == name
    if "203" not in character_set:
        assert asked > 5


@pytest.mark.parametrize(("number", "name"), [(number, name) for number, (_, name, _) in enumerate(NAMES)])
def test_qido(door: DoorInMemory, number: int, name: str) -> None:
    for key in _asked_for(name):
        answer = door.get(f"/studies?PatientName={quote(key)}")
        found = {result["0020000D"]["Value"][0]: result for result in answer.json()}
        assert f"{ROOT}.{number}" in found, key
        groups = found[f"{ROOT}.{number}"]["00100010"]["Value"][0]
        assert (
            "=".join(groups.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=") == name
        )
        assert found[f"{ROOT}.{number}"]["00080005"]["Value"] == ["ISO_IR 192"]


def test_every_character_set_of_the_standard_is_there() -> None:
    """Those that pydicom knows (PS3.3 Tables C.12-2 to C.12-5); its aliases are not of the standard."""
    used = {part for name, _, _ in NAMES for part in name.split("\\")}
    used |= {part.replace("ISO_IR", "ISO 2022 IR") for part in used}
    assert set(python_encoding) - {"ISO 2022 GBK", "ISO 2022 58", "ISO_IR 6"} <= used
