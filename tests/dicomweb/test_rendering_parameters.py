"""window, viewport and quality."""

from __future__ import annotations

import math
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dicomweb.rendering_parameters import RenderingParameters, rendering_parameters
from pacs.errors import InvalidRequest
from pacs.pixels.display import Window
from pacs.pixels.render import MAX_VIEWPORT, Viewport


def test_absent_is_the_default() -> None:
    assert rendering_parameters({"other": "patient"}) == RenderingParameters()


def test_what_they_mean() -> None:
    parameters = rendering_parameters({"window": "40.5,400,Linear-Exact", "viewport": "100,50,,10,20", "quality": "75"})
    assert parameters.window == Window(40.5, 400, "LINEAR_EXACT")
    assert parameters.viewport == Viewport(100, 50, 0, 10, 20, None)
    assert parameters.quality == 75
    assert rendering_parameters({"window": "-600,1500"}).window == Window(-600, 1500, "LINEAR")
    assert parameters.identity != RenderingParameters().identity


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("window", text)
            for text in ("", "1", "1,2,3,4", "1,2,cubic", "nan,1", "1,inf", "1,-1", "1,0.5", "1_0,2", "１,2")
        ),
        *(("viewport", text) for text in ("", "1", "0,1", "1e9,1", "1,1,x", "1,1,1,1,1,1,1", "-5,5")),
        *(("quality", text) for text in ("", "0", "101", "9.5", "²", "1000")),
    ],
)
def test_nonsense_names_its_parameter(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        rendering_parameters({name: text})


_NUMBERS = ("0", "1", "100", "101", "-1", "1e3", "1e13", "16385", "0.4", "nan", "inf", "", "x", "linear", "sigmoid")


@given(
    st.sampled_from(["window", "viewport", "quality"]),
    st.lists(st.sampled_from(_NUMBERS), max_size=7).map(",".join)
    | st.text(alphabet="0123456789.,-+einfa xlr", max_size=30),
)
def test_any_text(name: str, text: str) -> None:
    try:
        found = rendering_parameters({name: text})
    except InvalidRequest as refused:
        assert name in str(refused)
        return
    default = RenderingParameters()
    assert replace(found, **{name: getattr(default, name)}) == default, "what was not asked for stays as it is"
    assert 1 <= found.quality <= 100
    if found.window is not None:
        assert math.isfinite(found.window.center)
        assert 0 < found.window.width < math.inf
    if found.viewport is not None:
        size, *region = astuple(found.viewport)[1::-1], *astuple(found.viewport)[2:]
        assert all(1 <= side <= MAX_VIEWPORT for side in size)
        assert all(side is None or math.isfinite(side) for side in region)
