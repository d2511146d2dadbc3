"""What a C-GET or C-MOVE must decode is decoded elsewhere: frames from outside never meet a codec in this process."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest

from pacs.dimse.scp.retrieval import data_set_for
from pacs.errors import UndecodablePixels
from pacs.part10.header import scan
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.pixels.transcode import decoded_frame
from tests.dimse.scp.fake_exchange import JPEG_LS, instance
from tests.pixels.images import compressed, gradient


class Elsewhere:
    """Notes what it is given to do."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.done: list[Callable[..., Any]] = []
        self._problem = problem

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.done.append(function)
        if self._problem:
            raise self._problem
        return function(*args, **kwargs)


def sent(elsewhere: Elsewhere) -> np.ndarray[Any, Any]:
    pixels = gradient()
    stored = compressed(pixels, *(imagecodecs.jpegls_encode(pixels) for _ in range(2)))
    one = SimpleNamespace(transfer_syntax_uid=JPEG_LS, key=instance(1).key)
    retrieve = SimpleNamespace(data_set=lambda _one: memoryview(stored), decoding=elsewhere)
    made = scan(data_set_for(retrieve, one, EXPLICIT_VR_LITTLE_ENDIAN), EXPLICIT_VR_LITTLE_ENDIAN)  # type: ignore[arg-type]
    assert made.pixel_data is not None
    found = made.value(made.pixel_data.tag)
    assert found is not None
    return np.frombuffer(found, "<u2").reshape(2, *pixels.shape)


def test_every_frame_is_decoded_there() -> None:
    elsewhere = Elsewhere()
    found = sent(elsewhere)
    assert elsewhere.done == [decoded_frame, decoded_frame]
    assert (found == gradient()).all()


def test_what_cannot_be_decoded_there_is_told() -> None:
    with pytest.raises(UndecodablePixels, match="it crashed"):
        sent(Elsewhere(UndecodablePixels("it crashed")))
