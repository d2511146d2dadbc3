"""Real images against independent decoders: pydicom with its plug-ins, and dcmtk."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import convert_color_space, pixel_array

from pacs.errors import PacsError, UndecodablePixels
from pacs.part10.file_meta import read_file_meta, write_file_meta
from pacs.part10.frame_table import frame_table
from pacs.part10.header import Header, scan
from pacs.pixels.decode import DecodedFrame, decode
from pacs.pixels.description import PixelDescription, describe
from pacs.pixels.native import stored_values
from pacs.pixels.render import picture_of
from pacs.pixels.transcode import native_frame, to_native
from tests.part10.encoding import EXPLICIT_LITTLE, IMPLICIT_LITTLE

pytestmark = pytest.mark.corpus

LONG_SERIES = 100
IMAGES_OF_A_LONG_SERIES = 6
"""Slices of one series are alike; folders of special cases are taken whole."""

UNDECODABLE = {"example3.dcm": "the frame is no JPEG"}
"""Files with pixel data that nobody can decode, and why."""

PYDICOM_CANNOT = {
    "emri_small_jpeg_2k_lossless_too_short.dcm",
    "liver_deflate.dcm",
    "liver_nonbyte_aligned_deflate.dcm",
    "liver_rle.dcm",
    "liver_nonbyte_aligned_rle.dcm",
    "MR1_JPLY",
    "MR4_JPLY",
    "NM1_JPLY",
    "XA1_JPLY",
}
SAME_AS_UNCOMPRESSED = {"liver_deflate", "liver_rle", "liver_j2k", "liver_expb"}
LOSSY_JPEG = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}
REALLY_ONE_GREY = {"IMG0001.dcm", "IMG0003.dcm"}


@pytest.fixture(scope="module")
def images(corpus: Path) -> list[tuple[Path, Header]]:
    """Each file that has pixel data, scanned."""
    return list(_images(corpus))


def _images(corpus: Path) -> Iterator[tuple[Path, Header]]:
    paths = sorted(path for path in corpus.rglob("*") if path.is_file())
    there, taken = Counter(path.parent for path in paths), Counter[Path]()
    for path in paths:
        if there[path.parent] > LONG_SERIES and taken[path.parent] >= IMAGES_OF_A_LONG_SERIES:
            continue
        content = path.read_bytes()
        try:
            meta = read_file_meta(content)
            uid, start = meta.transfer_syntax_uid, meta.data_set_offset
        except PacsError:
            uid, start = IMPLICIT_LITTLE, 0
        try:
            header = scan(memoryview(content)[start:], uid)
        except PacsError:
            continue
        if header.pixel_data is not None:
            taken[path.parent] += 1
            yield path, header


def fragments(header: Header, description: PixelDescription, number: int) -> list[bytes]:
    table = frame_table(header)
    stored = [bytes(header.buffer[offset : offset + length]) for offset, length in table.fragments(number)]
    shift = table.bit_offset(number)
    if shift:
        bits = np.unpackbits(np.frombuffer(stored[0], np.uint8), bitorder="little")[shift:]
        stored = [np.packbits(bits[: description.pixels_per_frame], bitorder="little").tobytes()]
    return stored


def middle_frame(header: Header) -> tuple[PixelDescription, DecodedFrame, int]:
    description = describe(header)
    number = description.number_of_frames // 2 + 1
    return description, decode(description, fragments(header, description, number)), number


def as_rgb(description: PixelDescription, frame: DecodedFrame) -> np.ndarray:
    pixels = stored_values(frame.pixels, description)
    if frame.photometric_interpretation.startswith("YBR"):
        return convert_color_space(pixels, "YBR_FULL", "RGB")
    return pixels


def by_pydicom(path: Path, uid: str, number: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = dcmread(path, force=True)
        if "TransferSyntaxUID" not in data_set.file_meta:
            data_set.file_meta.TransferSyntaxUID = uid
        return pixel_array(data_set, index=number - 1)


def test_pixels_are_those_of_pydicom(images: list[tuple[Path, Header]]) -> None:
    different, compared = [], 0
    for path, header in images:
        if path.name in PYDICOM_CANNOT | UNDECODABLE.keys():
            continue
        description, frame, number = middle_frame(header)
        expected, pixels = by_pydicom(path, description.transfer_syntax_uid, number), as_rgb(description, frame)
        compared += 1
        if description.transfer_syntax_uid in LOSSY_JPEG:
            # Two implementations of the inverse DCT and of chroma upsampling round differently.
            if pixels.shape != expected.shape or np.abs(pixels.astype(int) - expected).mean() > 0.1:
                different.append(path.name)
        elif not np.array_equal(pixels, expected, equal_nan=description.is_float):
            different.append(path.name)
    assert compared > 200
    assert not different


def test_what_nobody_can_decode_is_refused_with_the_reason(images: list[tuple[Path, Header]]) -> None:
    found = set()
    for path, header in images:
        if path.name in UNDECODABLE:
            with pytest.raises(UndecodablePixels, match=UNDECODABLE[path.name]):
                middle_frame(header)
            found.add(path.name)
    assert found == UNDECODABLE.keys()


def test_encodings_that_pydicom_lacks_equal_the_uncompressed_twin(images: list[tuple[Path, Header]]) -> None:
    decoded = {path.stem: middle_frame(header)[1].pixels for path, header in images if "liver" in path.name}
    for name in SAME_AS_UNCOMPRESSED:
        assert np.array_equal(decoded[name], decoded["liver"]), name
    for name in ("deflate", "rle", "j2k"):
        assert np.array_equal(decoded[f"liver_nonbyte_aligned_{name}"], decoded["liver_nonbyte_aligned"]), name


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    ("tool", "uids"),
    [
        ("dcmdjpeg", {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70)}),
        ("dcmdjpls", {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}),
        ("dcmdrle", {"1.2.840.10008.1.2.5"}),
    ],
)
def test_pixels_are_those_of_dcmtk(
    images: list[tuple[Path, Header]], tmp_path: Path, tool: str, uids: set[str]
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here; install Debian's dcmtk")
    different, compared = [], 0
    for path, header in images:
        if header.transfer_syntax.uid not in uids or path.name in UNDECODABLE:
            continue
        description, frame, number = middle_frame(header)
        if description.transfer_syntax_uid in LOSSY_JPEG and description.photometric_interpretation == "RGB":
            continue  # JFIF files called RGB: dcmtk believes the data set, pydicom and this archive the JPEG
        made = tmp_path / "native.dcm"
        if subprocess.run([tool, path, made], capture_output=True).returncode:
            continue  # one-bit RLE
        compared += 1
        if not np.array_equal(by_pydicom(made, EXPLICIT_LITTLE, number), as_rgb(description, frame)):
            different.append(path.name)
    assert compared >= 8
    assert not different


def test_every_image_makes_a_picture_in_which_something_is_seen(images: list[tuple[Path, Header]]) -> None:
    blank = set()
    for path, header in images:
        if path.name in UNDECODABLE:
            continue
        description = describe(header)
        number = description.number_of_frames // 2 + 1
        picture = picture_of(header, fragments(header, description, number), frame_number=number)
        assert picture.dtype == np.uint8
        assert picture.shape[:2] == (description.rows, description.columns)
        if np.ptp(picture) < 100:
            blank.add(path.name)
    assert blank == REALLY_ONE_GREY


@pytest.mark.parametrize("target", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_whole_data_sets_become_native(images: list[tuple[Path, Header]], tmp_path: Path, target: str) -> None:
    compared = 0
    for path, header in images:
        if path.name in UNDECODABLE or header.transfer_syntax.uid == target:
            continue
        description, frame, number = middle_frame(header)
        made = to_native(header.buffer, _without_deflation(header), target)
        copy = tmp_path / "native.dcm"
        copy.write_bytes(
            write_file_meta(sop_class_uid="1.2", sop_instance_uid="1.2", transfer_syntax_uid=target) + made
        )
        assert np.array_equal(
            stored_values(by_pydicom(copy, target, number), description), as_rgb(description, frame), equal_nan=True
        ), path.name
        compared += 1
    assert compared > 80


def _without_deflation(header: Header) -> str:
    return EXPLICIT_LITTLE if header.transfer_syntax.is_deflated else header.transfer_syntax.uid


def test_native_frames_are_the_bytes_of_the_pixels(images: list[tuple[Path, Header]]) -> None:
    for path, header in images:
        if path.name in UNDECODABLE:
            continue
        description, frame, number = middle_frame(header)
        native = native_frame(description, fragments(header, description, number))
        assert len(native) == (frame.pixels.size * description.bits_allocated + 7) // 8 or description.is_subsampled, (
            path.name
        )
        if description.bits_allocated > 1 and not description.is_planar and not description.is_subsampled:
            assert native == frame.pixels.tobytes(), path.name
