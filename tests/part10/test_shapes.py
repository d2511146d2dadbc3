"""A data set that is told by its shape is read as one that is walked."""

from __future__ import annotations

import gc
import random
import struct

import pytest

from pacs.errors import MalformedDataSet
from pacs.part10 import shapes
from pacs.part10.elements import Element
from pacs.part10.header import scan
from pacs.part10.indexed_attributes import IndexedAttributes, indexed_attributes

EXPLICIT_LITTLE, IMPLICIT_LITTLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
_IDENTITY = (
    (0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    (0x00080018, b"UI", b"2.25.11\0"),
    (0x0020000D, b"UI", b"2.25.22\0"),
    (0x0020000E, b"UI", b"2.25.33\0"),
)
_LONG = frozenset({b"OB", b"OW", b"SQ", b"UN", b"UT"})


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    shapes._known.clear()
    shapes._seen.clear()


def _explicit(*elements: tuple[int, bytes, bytes]) -> bytes:
    encoded = []
    for tag, vr, value in sorted((*_IDENTITY, *elements)):
        head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
        head += struct.pack("<HL", 0, len(value)) if vr in _LONG else struct.pack("<H", len(value))
        encoded.append(head + value)
    return b"".join(encoded)


def _implicit(*elements: tuple[int, bytes, bytes]) -> bytes:
    return b"".join(
        struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
        for tag, _, value in sorted((*_IDENTITY, *elements))
    )


def _walked(data_set: bytes, syntax: str) -> tuple[dict[int, Element], IndexedAttributes]:
    shapes._known.clear()
    shapes._seen.clear()
    header = scan(data_set, syntax)
    assert header.shape is None
    return header.elements, indexed_attributes(header)


def _image(number: int, name: bytes = b"Kim^Ok", position: bytes = b"0\\0\\1 ") -> tuple[tuple[int, bytes, bytes], ...]:
    return (
        (0x00080060, b"CS", b"CT"),
        (0x00091001, b"UN", b"\1\2\3\4"),
        (0x00100010, b"PN", name),
        (0x00200013, b"IS", b"%4d" % number),
        (0x00200032, b"DS", position),
        (0x00400275, b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0"),
        (0x7FE00010, b"OW", bytes(64)),
    )


@pytest.mark.parametrize(("encode", "syntax"), [(_explicit, EXPLICIT_LITTLE), (_implicit, IMPLICIT_LITTLE)])
def test_a_third_image_of_one_form_is_told_by_its_shape_and_read_the_same(encode, syntax: str):
    images = [encode(*_image(number, name)) for number, name in enumerate([b"Kim^Ok", b"Lee^An", b"Choi^U", b"Roh^Yu"])]
    expected = [_walked(image, syntax) for image in images]
    shapes._seen.clear()
    headers = [scan(image, syntax) for image in images]
    assert [header.shape is not None for header in headers] == [False, True, True, True]
    assert headers[2].elements is headers[1].elements
    for header, (elements, attributes) in zip(headers, expected, strict=True):
        assert header.elements == elements
        assert indexed_attributes(header) == attributes


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(_explicit(*_image(1)).replace(b"\x20\x00\x13\x00IS", b"\x20\x00\x12\x00IS"), id="tag"),
        pytest.param(_explicit(*_image(1)).replace(b"\x13\x00IS", b"\x13\x00DS"), id="vr"),
        pytest.param(
            _explicit(*_image(1, b"Kim^Okyo", b"0\\0\\")).replace(b"0\\0\\", b"0\\00"), id="lengths of the same sum"
        ),
    ],
)
def test_one_of_the_same_length_with_other_heads_is_not_taken_for_it(other: bytes):
    image = _explicit(*_image(1))
    assert len(other) == len(image)
    elements, attributes = _walked(other, EXPLICIT_LITTLE)
    for _ in range(3):
        scan(image, EXPLICIT_LITTLE)
    header = scan(other, EXPLICIT_LITTLE)
    assert header.elements == elements
    assert indexed_attributes(header) == attributes


def test_a_torn_one_of_the_same_length_is_refused():
    image = _explicit(*_image(1))
    for _ in range(3):
        scan(image, EXPLICIT_LITTLE)
    torn = image.replace(struct.pack("<HL", 0, 64) + bytes(8), struct.pack("<HL", 0, 65) + bytes(8), 1)
    assert torn != image
    with pytest.raises(MalformedDataSet):
        scan(torn, EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    "element",
    [
        (0x00400275, b"SQ", b"\xff\xff\xff\xff"),  # stands for an undefined length, below
        (0x00100010, b"PN", b"Kim^Ok"),  # twice
    ],
)
def test_what_heads_alone_cannot_tell_is_walked_each_time(element: tuple[int, bytes, bytes]):
    extra = _explicit(element) if element[0] == 0x00100010 else b""
    undefined = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\xdd\xe0\0\0\0\0"
    image = _explicit((0x00100010, b"PN", b"Lee^An")) + (extra or undefined)
    for _ in range(4):
        assert scan(image, EXPLICIT_LITTLE).shape is None


def test_random_changes_are_read_as_by_a_walk():
    """Whatever byte is changed: the same elements, or the same error."""
    rng = random.Random(6)
    image = _explicit(*_image(7))
    for _ in range(600):
        changed = bytearray(image)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        shapes._known.clear()
        shapes._seen.clear()
        expected = _outcome(bytes(changed))
        for _ in range(3):
            scan(image, EXPLICIT_LITTLE)
        assert _outcome(bytes(changed)) == expected


def _outcome(data_set: bytes) -> object:
    try:
        return scan(data_set, EXPLICIT_LITTLE).elements
    except MalformedDataSet as problem:
        return str(problem)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shapes, "_MAX_ELEMENTS", 200)
    for length in range(2, 200, 2):
        for _ in range(2):
            scan(_explicit((0x00104000, b"LT", bytes(length))), EXPLICIT_LITTLE)
    assert sum(len(one.elements) for alike in shapes._known.values() for one in alike) <= 200 + 5


def test_what_is_no_longer_remembered_is_held_by_nobody() -> None:
    before = {id(each) for each in gc.get_objects() if isinstance(each, shapes.Shape)}
    for count in range(1_000, 1_040):
        data_set = _implicit(*((0x00290000 + number, b"LO", b"") for number in range(count)))
        for _ in range(3):
            indexed_attributes(scan(data_set, IMPLICIT_LITTLE))
    gc.collect()
    now = [each for each in gc.get_objects() if isinstance(each, shapes.Shape)]
    alive = [len(each.elements) for each in now if id(each) not in before]
    assert len(alive) > 1
    assert sum(alive) <= shapes._MAX_ELEMENTS * 9 // 8
