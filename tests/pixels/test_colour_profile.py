from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ImageCms

from pacs.part10.header import scan
from pacs.pixels.colour_profile import ICC_PROFILES, in_colour_space, profile_of, well_known
from tests.part10.encoding import EXPLICIT_LITTLE, explicit, item, sequence
from tests.pixels.images import colours, gradient

SPACES = [name for name in ICC_PROFILES if name not in {"no", "yes"}]


def xyz_of(name: str, rgb: np.ndarray) -> np.ndarray:
    """Colour values of D50 worked out from the definitions of the spaces."""
    xy = {
        "srgb": [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)],
        "adobergb": [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290)],
        "displayp3": [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)],
        "rommrgb": [(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585)],
    }[name]
    primaries = np.array([[x / y, 1, (1 - x - y) / y] for x, y in xy]).T
    white = primaries[:, 3]
    matrix = primaries[:, :3] * np.linalg.solve(primaries[:, :3], white)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford @ matrix
    if name in {"srgb", "displayp3"}:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    elif name == "adobergb":
        linear = rgb ** (563 / 256)
    else:
        linear = np.where(rgb < 16 / 512, rgb / 16, rgb**1.8)
    found: np.ndarray = linear @ adapted.T
    return found


@pytest.mark.parametrize("name", SPACES)
def test_a_well_known_profile_says_what_its_definition_says(name: str) -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(well_known(name)))
    whole = np.eye(3)
    for primary, expected in zip(("red", "green", "blue"), xyz_of(name, whole), strict=True):
        stored = getattr(profile.profile, f"{primary}_primary")[0]
        assert stored == pytest.approx(expected, abs=0.002)
    assert well_known(name) is well_known(name)


@pytest.mark.parametrize("name", SPACES)
def test_pixels_are_transformed_as_the_definitions_say(name: str) -> None:
    picture = colours()
    # Little saturation, so that every space has these colours.
    picture = (100 + picture // 5).astype(np.uint8)
    transformed, profile = in_colour_space(picture, None, name)
    assert profile == well_known(name)
    expected = xyz_of("srgb", picture / 255)
    assert np.abs(xyz_of(name, transformed / 255) - expected).max() < 0.006
    if name != "srgb":
        assert not np.array_equal(transformed, picture)


def test_grey_becomes_rgb_and_stays_grey() -> None:
    grey = gradient(bits=8).astype(np.uint8)
    for wanted in ("yes", *SPACES):
        picture, _ = in_colour_space(grey, None, wanted)
        assert picture.shape == (*grey.shape, 3)
        assert np.ptp(picture.astype(int), axis=-1).max() <= 1


def test_yes_leaves_colours_and_says_whose_they_are() -> None:
    picture, profile = in_colour_space(colours(), well_known("adobergb"), "yes")
    assert np.array_equal(picture, colours())
    assert profile == well_known("adobergb")
    for none in (None, b"\0" * 200, well_known("srgb")[:300], b"x" * 128):
        assert in_colour_space(colours(), none, "yes")[1] == well_known("srgb")
        assert np.array_equal(in_colour_space(colours(), none, "srgb")[0], colours())


def test_the_image_s_own_profile() -> None:
    profile = well_known("displayp3")
    element = explicit(0x00282000, "OB", profile + b"\0" * (len(profile) % 2))
    assert profile_of(scan(explicit(0x00080018, "UI", b"1.2\0") + element, EXPLICIT_LITTLE)) == profile
    path = sequence(0x00480105, item(element))
    assert profile_of(scan(explicit(0x00080018, "UI", b"1.2\0") + path, EXPLICIT_LITTLE)) == profile
    for wrong in (b"", b"\0" * 300, b"acsp"):
        assert profile_of(scan(explicit(0x00282000, "OB", wrong), EXPLICIT_LITTLE)) is None
