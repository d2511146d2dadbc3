"""Which edition of pictures and frames this installation makes: part of entity tags and of whatever is kept of them.

A browser holds a picture for good as the one of its tag, so another way to make it must mean another tag: else it would
be told 304 for a picture that nobody makes any more, or join parts of two (RFC 9110 §8.8.1, §13.1.5).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_PICTURES: Final = 2
"""To be raised with every change of how a thumbnail or rendered picture looks, or which frame is chosen for it."""
_FRAMES: Final = 3
"""To be raised with every change of how frames are transcoded."""
_LIBRARIES: Final = ("imagecodecs", "numpy", "pillow")
"""What decodes, scales, draws and encodes. Their packages bring libjpeg-turbo, OpenJPEG, OpenJPH and the like with
them, so that their versions tell those too, without loading them: services look pictures up that never make one."""
_VIDEOS: Final = "av"
"""Optional."""


@cache
def form_of_pictures() -> str:
    """Differs when a picture made of the same frame and parameters could differ, the font aside."""
    return f"{_PICTURES} {_libraries()}"


@cache
def form_of_frames() -> str:
    """Differs when the bytes of a transcoded frame could."""
    return f"{_FRAMES} {_libraries()}"


@cache
def form_of_videos() -> str:
    """As `form_of_pictures`, of frames of videos; also differs when what could not be shown before now might be."""
    try:
        return f"{form_of_pictures()} {_VIDEOS}/{version(_VIDEOS)}"
    except PackageNotFoundError:
        return f"{form_of_pictures()} {_VIDEOS}/none"


def _libraries() -> str:
    return " ".join(f"{name}/{version(name)}" for name in _LIBRARIES)
