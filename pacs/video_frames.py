"""Frames of stored videos, found where others are looked up: as much of a stream as is needed goes to a decoder.

A video may have gigabytes, so its decoder gets the beginning and asks for what it lacks (`pacs.pixels.video_stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from pacs.decoding.workers import Decoding
from pacs.errors import NotFound, UndecodablePixels
from pacs.model import StoredInstance
from pacs.part10.header import Header
from pacs.pixels.description import describe
from pacs.pixels.thumbnail import order_of_trying
from pacs.pixels.video import is_video, video_frame
from pacs.pixels.video_stream import Excerpt, Missing, has_index

T = TypeVar("T")
Read = Callable[[int, int], Iterable[bytes | memoryview]]
"""Bytes of a stream: where they begin, and how many."""

Shown = Sequence[bytes | memoryview]
"""Fragments of which functions of `pacs.pixels` make a picture."""

WHOLE_BYTES: Final = 4 << 20
"""A stream of this size is sent as a whole."""
MOST_BYTES: Final = 64 << 20
"""Of a stream, sent for one frame: what stands before it where there is no index, else a large index and some seconds
of video."""
_FIRST_BYTES: Final = 256 << 10
_STEP_BYTES, _LARGEST_STEP_BYTES = 512 << 10, 8 << 20
_MOST_ASKED: Final = 24
_WINDOW_BYTES: Final = 8 << 20
"""Of the middle of a large stream: several seconds, with a key frame among them."""
_NUMBER_OF_FRAMES: Final = "00280008"
_LAST: Final = 1 << 31


def number_of_pictures(instance: StoredInstance) -> int:
    """Of how many frames pictures can be asked: of a video, which is one stored frame, as many as it says it shows."""
    if not instance.number_of_frames or not is_video(instance.transfer_syntax_uid):
        return instance.number_of_frames
    try:
        return max(1, int(instance.attributes.get(_NUMBER_OF_FRAMES, {}).get("Value", [1])[0]))
    except (TypeError, ValueError, IndexError, OverflowError):
        return 1


def frames_with_kept_pictures(instance: StoredInstance) -> Sequence[int]:
    """The numbers of frames whose small pictures may be kept: all that are stored; of a video, which may claim any
    number of them, those that may stand for it."""
    if is_video(instance.transfer_syntax_uid):
        return order_of_trying(number_of_pictures(instance))
    return range(1, instance.number_of_frames + 1)


def frame_to_show(
    decoding: Decoding,
    header: Header,
    stored: Callable[[int], Sequence[memoryview]],
    number: int,
    *,
    is_near: bool = False,
) -> Shown:
    """Frame `number`, from 1, in the form in which functions of `pacs.pixels` make pictures of it.

    `stored` gives the fragments of a stored frame. That is what they take, but of a video, whose frame is decoded
    here; `is_near` is that of `pacs.pixels.video.video_frame`.

    Raises:
        UndecodablePixels: a video that cannot be decoded, or no pixel data.
        NotFound: there is no such frame.
        Busy, and what `stored` raises.
    """
    if not is_video(header.transfer_syntax.uid):
        return stored(number)
    if number < 1:
        raise NotFound(f"frame {number} is not there: they are counted from 1")
    fragments, description = stored(1), describe(header)
    size, read = sum(map(len, fragments)), reading(fragments)
    uid, rows, columns = header.transfer_syntax.uid, description.rows, description.columns
    is_indexed = has_index(b"".join(read(0, 8)))
    if is_near and size > MOST_BYTES and not is_indexed:
        # No frame can be counted in it; about there is near enough.
        place = size * min(number, description.number_of_frames) // (description.number_of_frames + 1)
        window = (*read(0, _FIRST_BYTES), *read(min(place, size - _WINDOW_BYTES), _WINDOW_BYTES))
        fragments, number = tuple(map(memoryview, window)), _LAST
        size, read = sum(map(len, fragments)), reading(fragments)
    # Without an index all before the frame is needed; about how much that is, is told by its number.
    before = 0 if is_indexed else size * number // description.number_of_frames + size // 8 + _STEP_BYTES
    picture = asked(
        decoding, size, read, video_frame, first=before, transfer_syntax_uid=uid, number=number, rows=rows,
        columns=columns, is_near=is_near,
    )  # fmt: skip
    return (picture,)


def reading(fragments: Sequence[memoryview]) -> Read:
    """The stream that `fragments` are, one after the other."""

    def read(start: int, length: int) -> list[memoryview]:
        found, position = [], 0
        for fragment in fragments:
            begin, end = max(0, start - position), min(len(fragment), start + length - position)
            if begin < end:
                found.append(fragment[begin:end])
            position += len(fragment)
            if position >= start + length:
                break
        return found

    return read


def asked(
    decoding: Decoding, size: int, read: Read, function: Callable[..., T | Missing], *, first: int = 0, **named: object
) -> T:
    """What `function`, of `pacs.pixels.video`, says of a stream of `size` bytes, which is read as far as it asks; at
    `first` so many, which it will need.

    Raises:
        UndecodablePixels: it asks for too much, or what `function` raises.
        Busy, and what `read` raises.
    """
    pieces: dict[int, list[bytes | memoryview]] = {}
    ends: dict[int, int] = {}
    step = _STEP_BYTES

    def add(start: int, length: int) -> None:
        length = min(length, size - start)
        pieces[start] = list(read(start, length))
        ends[start] = start + length

    add(0, size if size <= WHOLE_BYTES else min(max(first, _FIRST_BYTES), MOST_BYTES))
    for _ in range(_MOST_ASKED):
        answer = decoding.run(function, Excerpt(size, _placed(pieces)), **named)
        if not isinstance(answer, Missing):
            return answer
        start, sent = answer.start, sum(end - begin for begin, end in ends.items())
        if not 0 <= start < size or start in ends or sent >= MOST_BYTES:
            break
        step = min(_LARGEST_STEP_BYTES, 2 * step) if start in ends.values() else _STEP_BYTES
        following = min((begin for begin in ends if begin > start), default=size)
        add(start, min(step, following - start, MOST_BYTES - sent))
    raise UndecodablePixels(
        f"more than {MOST_BYTES >> 20} MB of the video, which has {size >> 20}, would have to be read for this frame;"
        " retrieve it as stored"
    )


def _placed(pieces: dict[int, list[bytes | memoryview]]) -> tuple[tuple[int, bytes | memoryview], ...]:
    placed = []
    for start in sorted(pieces):
        position = start
        for piece in pieces[start]:
            placed.append((position, piece))
            position += len(piece)
    return tuple(placed)
