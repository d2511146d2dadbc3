"""JSON documents: one data set at a time, bounded before anything is built."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacs.errors import MalformedDataSet, PeerFault, TooLarge
from pacs.part10 import dicom_json_reader
from pacs.part10.data_set_writer import RepeatedAttribute
from pacs.part10.dicom_json_reader import read_json


def test_an_array_or_one_alone() -> None:
    assert list(read_json(b'\xef\xbb\xbf [ {"a":1} ,\n{} ] ')) == [{"a": 1}, {}]
    assert list(read_json(b'{"a":[1.50]}')) == [{"a": [1.5]}]
    assert list(read_json(b"[]")) == []


def test_what_was_whole_is_given_before_the_tear() -> None:
    documents = read_json(b'[{"a":1},{"b"')
    assert next(documents) == {"a": 1}
    with pytest.raises(MalformedDataSet, match="character"):
        next(documents)


def test_a_key_that_comes_twice_is_known() -> None:
    (found,) = read_json(b'{"a":1,"a":2}')
    assert isinstance(found, RepeatedAttribute)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b" ",
        b"[",
        b"[,]",
        b"[1,]",
        b"[1]]",
        b"{} {}",
        b"[NaN]",
        b"[-Infinity]",
        b"[" * 100_000,
        b"\xff",
        b"9" * 9000,
    ],
)
def test_no_json(document: bytes) -> None:
    with pytest.raises(MalformedDataSet):
        list(read_json(document))


def test_structure_is_counted_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_json_reader, "MAX_STRUCTURE", 10)
    with pytest.raises(TooLarge, match="more than 10"):
        list(read_json(b"[[],[],[],[],[],[]]"))


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.lists(JSON, max_size=4), st.sampled_from([None, 1]))
def test_the_same_as_the_standard_library(values: list[Any], indent: int | None) -> None:
    assert list(read_json(json.dumps(values, indent=indent).encode())) == values


def damaged(values: list[Any], at: int, other: str) -> bytes:
    text = json.dumps(values)
    at %= len(text)
    return (text[:at] + other + text[at + 1 :]).encode()


DAMAGED = st.builds(damaged, st.lists(JSON, max_size=4), st.integers(0, 200), st.sampled_from(list('[]{},:"0 ')))


@example(b"[0:1]")
@given(DAMAGED | st.binary(max_size=60) | st.text('[]{},:"0 \\u', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    try:
        found = list(read_json(noise))
    except PeerFault:
        with pytest.raises(ValueError):
            json.loads(noise.decode("utf-8-sig"), parse_constant=int)
        return
    whole = json.loads(noise.decode("utf-8-sig"))
    assert found == (whole if isinstance(whole, list) else [whole])
