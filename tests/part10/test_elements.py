from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import MalformedDataSet
from pacs.part10.elements import MAX_DEPTH, NestedEnds, iter_elements, looks_explicit, standard_vr
from pacs.part10.sequence_items import iter_items
from tests.part10.encoding import SEQUENCE_END, UNDEFINED, explicit, implicit, item, sequence

A = explicit(0x00080018, "UI", b"1.2\0")
B = explicit(0x00100020, "LO", b"X ")


def walk(data: bytes, *, is_implicit_vr: bool = False):
    return list(iter_elements(memoryview(data), 0, len(data), is_implicit_vr, True))


def items_of(data: bytes):
    view = memoryview(data)
    found = next(iter_elements(view, 0, len(data), False, True))
    return [bytes(view[item.start : item.end]) for item in iter_items(view, found, True)]


def test_elements_are_found_in_place():
    first, second = walk(A + B)
    assert (first.tag, first.vr, first.offset, first.value_offset, first.length, first.end) == (
        0x00080018,
        "UI",
        0,
        8,
        4,
        12,
    )
    assert (second.tag, second.offset, second.is_implicit_vr) == (0x00100020, 12, False)


def test_long_form_vrs():
    (found,) = walk(explicit(0x00091010, "UN", b"abcd"))
    assert (found.vr, found.value_offset, found.length) == ("UN", 12, 4)


def test_implicit_vr_comes_from_the_dictionary():
    data = implicit(0x00080018, b"1.2\0") + implicit(0x00090010, b"ACME") + implicit(0x00091010, b"??")
    assert [found.vr for found in walk(data, is_implicit_vr=True)] == ["UI", "LO", "UN"]


@pytest.mark.parametrize(
    ("tag", "vr"),
    [(0x00100010, "PN"), (0x60020010, "US"), (0x60003000, "OB or OW"), (0x00090000, "UN"), (0x00080000, "UL")],
)
def test_standard_vr(tag, vr):
    assert standard_vr(tag) == vr


@pytest.mark.parametrize("is_undefined", [True, False])
@pytest.mark.parametrize("is_item_undefined", [True, False])
def test_nested_sequences_end_where_they_end(is_undefined, is_item_undefined):
    inner = sequence(0x00081199, item(A, is_undefined=is_item_undefined), is_undefined=is_undefined)
    outer = sequence(
        0x00081115,
        item(inner + B, is_undefined=is_item_undefined),
        item(B, is_undefined=is_item_undefined),
        is_undefined=is_undefined,
    )
    first, second = walk(outer + B)
    assert (first.vr, first.end, second.offset) == ("SQ", len(outer), len(outer))
    assert (first.length is None) == is_undefined
    assert items_of(outer) == [inner + B, B]


def test_un_of_undefined_length_is_an_implicit_sequence():
    content = item(implicit(0x00080018, b"1.2\0"), is_undefined=True) + SEQUENCE_END
    first, second = walk(explicit(0x00091010, "UN", content, UNDEFINED) + B)
    assert (first.vr, first.length, second.tag) == ("SQ", None, 0x00100020)
    assert items_of(explicit(0x00091010, "UN", content, UNDEFINED)) == [implicit(0x00080018, b"1.2\0")]


def test_un_of_undefined_length_with_explicit_items_is_walked_too():
    content = item(A, is_undefined=True) + SEQUENCE_END
    assert [found.tag for found in walk(explicit(0x00091010, "UN", content, UNDEFINED) + B)] == [0x00091010, 0x00100020]


def test_un_takes_the_vr_of_a_known_tag():
    assert walk(explicit(0x00100010, "UN", b"A^B "))[0].vr == "PN"


@pytest.mark.parametrize("vr", [b"??", b"  ", b"ui", b"\xff\xff", b"O1"])
def test_nonsense_vr_with_a_short_length(vr):
    data = b"\x08\x00\x18\x00" + vr + b"\x04\x00abcd"
    assert [found.length for found in walk(data + B)] == [4, 2]


@pytest.mark.parametrize("length", [0, 2, 4, 0x2020, 0x3F3F])
def test_implicit_length_where_a_vr_should_be(length):
    data = implicit(0x00080018, bytes(length)) + B
    assert [found.length for found in walk(data)] == [length, 2]


def test_implicit_element_inside_explicit_data():
    found = walk(A + implicit(0x00091010, b"abcd") + B)
    assert [element.tag for element in found] == [0x00080018, 0x00091010, 0x00100020]
    assert [element.is_implicit_vr for element in found] == [False, True, False]


def test_vr_of_a_later_standard_has_the_long_form():
    data = b"\x08\x00\x18\x00ZZ\0\0\x04\0\0\0abcd" + B
    assert [(found.vr, found.length) for found in walk(data)] == [("UN", 4), ("LO", 2)]


def test_unknown_vr_in_the_short_form():
    assert [found.length for found in walk(b"\x08\x00\x18\x00ZZ\x04\0abcd" + B)] == [4, 2]


def test_zero_padding_at_the_end_is_passed_over():
    assert [found.tag for found in walk(A + bytes(5))] == [0x00080018]


def test_item_without_its_delimiter_is_closed_by_the_sequence():
    content = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + A + SEQUENCE_END
    data = explicit(0x00081115, "SQ", content, UNDEFINED)
    assert [found.tag for found in walk(data + B)] == [0x00081115, 0x00100020]


MALFORMED = {
    "length beyond the end": explicit(0x00080018, "UI", b"1.2\0", 0xFFFE),
    "4 GB length": explicit(0x00091010, "OB", b"", 0xFFFFFFFE),
    "torn head": A + B[:5],
    "torn long head": A + explicit(0x00091010, "OB", b"")[:10],
    "item outside a sequence": A + item(B),
    "no item in a sequence": explicit(0x00081115, "SQ", A + SEQUENCE_END, UNDEFINED),
    "sequence never ends": explicit(0x00081115, "SQ", item(A), UNDEFINED),
    "item never ends": explicit(0x00081115, "SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + A, UNDEFINED),
    "item longer than all": explicit(0x00081115, "SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\x7f" + SEQUENCE_END, UNDEFINED),
    "nested length beyond the end": explicit(
        0x00081115, "SQ", item(explicit(0x00080018, "UI", b"", 0xFFF0), is_undefined=True) + SEQUENCE_END, UNDEFINED
    ),
    "nested torn long head": explicit(
        0x00081115, "SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + explicit(0x00091010, "OB", b"")[:9], UNDEFINED
    ),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(data):
    with pytest.raises(MalformedDataSet, match="byte"):
        walk(data)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
def test_too_deep(depth):
    data = (b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * depth
    with pytest.raises(MalformedDataSet, match="deeper"):
        walk(data)


def test_deepest_allowed():
    data = b""
    for _ in range(MAX_DEPTH):
        data = sequence(0x00081115, item(data, is_undefined=True), is_undefined=True)
    assert len(walk(data)) == 1


def test_each_nested_end_is_remembered():
    inner = sequence(0x00081199, item(A, is_undefined=True), is_undefined=True)
    data = sequence(0x00081115, item(inner, is_undefined=True), is_undefined=True)
    ends = NestedEnds()
    list(iter_elements(memoryview(data), 0, len(data), False, True, 0, ends))
    assert sorted(ends) == [12, 32]


def test_walking_items_of_a_broad_sequence_takes_linear_time():
    content = item(sequence(0x00081199, item(A, is_undefined=True), is_undefined=True), is_undefined=True)
    data = sequence(0x00081115, *[content] * 20_000, is_undefined=True)
    view = memoryview(data)
    ends = NestedEnds()
    start = time.process_time()
    (found,) = iter_elements(view, 0, len(data), False, True, 0, ends)
    assert sum(1 for _ in iter_items(view, found, True, ends)) == 20_000
    assert time.process_time() - start < 5


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_random_bytes(data, is_implicit_vr, is_little_endian):
    try:
        for found in iter_elements(memoryview(data), 0, len(data), is_implicit_vr, is_little_endian):
            assert found.offset < found.value_offset <= found.end <= len(data)
            list(iter_items(memoryview(data), found, is_little_endian))
    except MalformedDataSet:
        pass


VALID = sequence(0x00081115, item(sequence(0x00081199, item(A), is_undefined=True)), is_undefined=True) + A + B


@given(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=8), st.integers(0, len(VALID)))
def test_damaged_data(position, junk, cut):
    data = (VALID[:position] + junk + VALID[position + len(junk) :])[: max(cut, 8)]
    try:
        for found in iter_elements(memoryview(data), 0, len(data), False, True):
            assert found.offset < found.value_offset <= found.end <= len(data)
            if found.vr == "SQ":
                for nested in iter_items(memoryview(data), found, True):
                    assert found.value_offset < nested.start <= nested.end <= found.end
    except MalformedDataSet:
        pass


def test_looks_explicit():
    assert looks_explicit(memoryview(A), 0)
    assert not looks_explicit(memoryview(implicit(0x00080018, b"1.2\0")), 0)
    assert not looks_explicit(memoryview(b""), 0)
