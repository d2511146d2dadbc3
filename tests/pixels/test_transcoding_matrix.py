"""Real images of every stored transfer syntax in every one that is made: pixels as independent decoders see them, and
no error of `dciodvfy` that the stored image does not have.

A sample of the images takes part, one of each kind; all of them with PACS_SOAK.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array

from pacs.errors import PacsError
from pacs.part10.file_meta import read_file_meta, write_file_meta
from pacs.part10.frame_table import frame_table
from pacs.part10.header import Header, scan
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.pixels.decode import LOSSY, decode
from pacs.pixels.description import describe
from pacs.pixels.encode import JPEG_XL_LOSSLESS, LOSSLESS_ENCODABLE
from pacs.pixels.recoded import RecodedPixels, data_set_pieces
from pacs.pixels.transcode import native_data_set, transcoded_frame, transcoding_obstacle

pytestmark = [pytest.mark.corpus, pytest.mark.filterwarnings("ignore::UserWarning")]

TARGETS = (EXPLICIT_VR_LITTLE_ENDIAN, *LOSSLESS_ENCODABLE)
MAX_SAMPLE_BYTES = 140_000
MAX_SAMPLE_FRAMES = 5
DCMTK = {
    "1.2.840.10008.1.2.4.70": "dcmdjpeg --conv-never",
    "1.2.840.10008.1.2.4.80": "dcmdjpls",
    "1.2.840.10008.1.2.5": "dcmdrle",
}
KNOWN_TO_DCIODVFY = "1.2.840.10008.1.2.4.90"
"""It checks attributes, not codestreams, and does not know the newer transfer syntaxes."""


class Image:
    """A stored image that can be decoded."""

    def __init__(self, path: Path, content: bytes, header: Header) -> None:
        self.path, self.content, self.header = path, content, header
        self.description = describe(header)
        self.table = frame_table(header)

    @property
    def kind(self) -> tuple[object, ...]:
        described = self.description
        return (
            *(described.transfer_syntax_uid, described.photometric_interpretation, described.bits_allocated),
            *(described.bits_stored, described.is_signed, described.is_planar, described.number_of_frames > 1),
        )

    def fragments(self, number: int) -> list[memoryview]:
        return [self.header.buffer[offset : offset + length] for offset, length in self.table.fragments(number)]

    def meta(self, uid: str) -> bytes:
        header = self.header
        sop_class, sop_instance = header.uid(0x00080016), header.uid(0x00080018)
        return write_file_meta(
            sop_class_uid=sop_class or "1.2", sop_instance_uid=sop_instance or "1.2", transfer_syntax_uid=uid
        )

    def recoded(self, uid: str) -> bytes:
        """The data set in `uid`, as `pacs.transcoding` makes it."""
        if uid == EXPLICIT_VR_LITTLE_ENDIAN and (
            not self.header.is_encapsulated or self.description.bits_allocated == 1
        ):
            return b"".join(native_data_set(self.header))
        numbers = range(1, self.description.number_of_frames + 1)
        frames = [transcoded_frame(self.description, self.fragments(number), uid) for number in numbers]
        (name,) = {frame.photometric_interpretation for frame in frames}
        pixels = RecodedPixels(uid, name, [len(frame.data) for frame in frames])
        return b"".join(data_set_pieces(self.header, self.description, pixels, [(frame.data,) for frame in frames]))


def _images(corpus: Path, max_bytes: int) -> Iterator[Image]:
    for path in sorted(path for path in corpus.rglob("*") if path.is_file() and path.stat().st_size <= max_bytes):
        content = path.read_bytes()
        try:
            meta = read_file_meta(content)
            image = Image(path, content, scan(memoryview(content)[meta.data_set_offset :], meta.transfer_syntax_uid))
            if len(image.table) < image.description.number_of_frames:
                continue
            if not transcoding_obstacle(image.description, EXPLICIT_VR_LITTLE_ENDIAN):
                yield image
        except PacsError:
            continue


@pytest.fixture(scope="module")
def images(corpus: Path) -> list[Image]:
    """The smallest of each kind; with PACS_SOAK all."""
    if os.environ.get("PACS_SOAK"):
        return list(_images(corpus, 1 << 40))
    chosen: dict[tuple[object, ...], Image] = {}
    for image in sorted(_images(corpus, MAX_SAMPLE_BYTES), key=lambda image: len(image.content)):
        if image.kind not in chosen and image.description.number_of_frames <= MAX_SAMPLE_FRAMES:
            chosen[image.kind] = image
    return list(chosen.values())


@functools.cache
def expected(image: Image) -> NDArray[Any] | None:
    """The pixels as pydicom's decoders see them; where those of lossy frames differ in rounding, as ours do.

    None where nobody can decode it, or pydicom can't.
    """
    uid = image.description.transfer_syntax_uid
    try:
        if uid not in LOSSY and uid != JPEG_XL_LOSSLESS:
            return image_part(image, seen(image.content))
        numbers = range(1, image.description.number_of_frames + 1)
        frames = [decode(image.description, image.fragments(number)).pixels for number in numbers]
    except (PacsError, RuntimeError, ValueError, AttributeError, NotImplementedError, TypeError):
        return None
    return image_part(image, np.stack(frames) if len(frames) > 1 else frames[0])


def image_part(image: Image, pixels: NDArray[Any]) -> NDArray[Any]:
    """What of each cell is image (PS3.5 §8.1.1); some decoders clear the rest, others hand it out."""
    bits = 8 * pixels.dtype.itemsize - image.description.bits_stored
    is_cell = pixels.dtype.kind in "iu" and bits > 0 and image.description.bits_allocated > 1
    return (
        (pixels << bits) >> bits
        if is_cell and image.description.high_bit == image.description.bits_stored - 1
        else pixels
    )


def seen(content: bytes) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = dcmread(io.BytesIO(content), force=True)
        if data_set.file_meta.TransferSyntaxUID == JPEG_XL_LOSSLESS:
            count = int(data_set.get("NumberOfFrames", 1) or 1)
            frames = [
                imagecodecs.jpegxl_decode(each) for each in generate_frames(data_set.PixelData, number_of_frames=count)
            ]
            return np.stack(frames) if count > 1 else frames[0]
        return np.asarray(pixel_array(data_set, raw=True))


@pytest.mark.parametrize("uid", TARGETS)
def test_pixels_are_what_independent_decoders_see(images: list[Image], uid: str) -> None:
    compared, wrong = 0, []
    for image in images:
        if transcoding_obstacle(image.description, uid):
            continue
        right = expected(image)
        if right is None:
            continue
        found = image_part(image, seen(image.meta(uid) + image.recoded(uid)))
        if found.shape != right.shape or not np.array_equal(found, right):
            wrong.append((image.path.name, image.kind))
        compared += 1
    assert not wrong
    assert compared > 15


@pytest.mark.dcmtk
@pytest.mark.parametrize("uid", DCMTK)
def test_dcmtk_sees_the_same_pixels(images: list[Image], uid: str, tmp_path: Path) -> None:
    if shutil.which(DCMTK[uid].split()[0]) is None:
        pytest.skip("dcmtk is not installed")
    compared, refused = 0, []
    for image in images:
        right = expected(image)
        if right is None or transcoding_obstacle(image.description, uid):
            continue
        (tmp_path / "made.dcm").write_bytes(image.meta(uid) + image.recoded(uid))
        command = [*DCMTK[uid].split(), tmp_path / "made.dcm", tmp_path / "decoded.dcm"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode:
            refused.append((image.path.name, run.stderr[-300:]))
            continue
        found = image_part(image, seen((tmp_path / "decoded.dcm").read_bytes()))
        assert np.array_equal(found, right), image.path
        compared += 1
    assert not refused
    assert compared > 15


def complaints(content: bytes, folder: Path) -> set[str]:
    """The errors that `dciodvfy` finds, without what is of one run only."""
    (folder / "checked.dcm").write_bytes(content)
    run = subprocess.run(["dciodvfy", folder / "checked.dcm"], capture_output=True, timeout=60, check=False)
    lines = (run.stderr + run.stdout).decode("latin-1").splitlines()
    return {line for line in lines if line.startswith("Error")}


@pytest.mark.parametrize("uid", TARGETS)
def test_dciodvfy_finds_no_new_error(images: list[Image], uid: str, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dicom3tools are not installed")
    checked, worse = 0, []
    for image in images if os.environ.get("PACS_SOAK") else images[::4]:
        is_image = image.header.uid(0x00080018) and expected(image) is not None
        if transcoding_obstacle(image.description, uid) or not is_image:
            continue
        told = uid if uid in (EXPLICIT_VR_LITTLE_ENDIAN, *DCMTK) else KNOWN_TO_DCIODVFY
        new = complaints(image.meta(told) + image.recoded(uid), tmp_path) - complaints(image.content, tmp_path)
        worse += [(image.path.name, sorted(new))] if new else []
        checked += 1
    assert not worse
    assert checked > 5
