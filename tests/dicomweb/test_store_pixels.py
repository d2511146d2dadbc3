"""Lengths of native pixel data by what the metadata says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dicomweb.store_pixels import PixelMeasure, pixel_measure
from pacs.errors import MalformedDataSet

_ANYTHING = st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=4)
_KEYS = ("00280002", "00280004", "00280008", "00280010", "00280011", "00280100")


@given(st.dictionaries(st.sampled_from(_KEYS), _ANYTHING | st.builds(lambda value: {"Value": [value]}, _ANYTHING)))
def test_anything_has_a_measure(attributes: object) -> None:
    measure = pixel_measure(attributes)
    assert measure.number_of_frames >= 1
    assert all(bits > 0 for bits in measure.frame_bits)


@given(st.integers(1, 2000), st.integers(1, 40), st.integers(0, 200_000))
def test_nothing_short_and_no_further_frame_is_whole(bits: int, frames: int, length: int) -> None:
    measure = PixelMeasure(frames, (bits,))
    try:
        measure.check_whole(length)
    except MalformedDataSet:
        assert length != (bits * frames + 7) // 8
    else:
        assert (bits * frames + 7) // 8 <= length < (bits + 7) // 8 * (frames + 1) + 2


@pytest.mark.parametrize(
    ("bits", "lengths", "size"),
    [
        ((64,), (8, 8), 8),
        ((72,), (9, 10), 9),
        ((64,), (8, 9), 0),
        ((64,), (8, 7), 0),
        ((96, 64), (8, 8), 8),
        ((96, 64), (12, 12), 12),
        ((96, 64), (12, 8), 0),
        ((9,), (2, 2), 0),
        ((), (8, 8), 0),
    ],
)
def test_frames_are_joined_when_their_size_is_known(bits: tuple[int, ...], lengths: tuple[int, ...], size: int) -> None:
    measure = PixelMeasure(2, bits)
    if size:
        assert measure.frame_bytes(lengths) == size
        return
    with pytest.raises(MalformedDataSet):
        measure.frame_bytes(lengths)
