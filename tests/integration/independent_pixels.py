"""Pixels as decoders see them that this archive does not use: pylibjpeg's through pydicom, Pillow, dcmtk, zlib, numpy.

The archive decodes and encodes with imagecodecs. Only JPEG XL has no other decoder among the packages.
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openjpeg
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array

from tests.integration.matrix_samples import (
    DEFLATED_FRAME,
    ENCAPSULATED_UNCOMPRESSED,
    FAMILY,
    GE_PRIVATE,
    NATIVE,
    RLE,
)

Pixels = NDArray[Any]
_JPEG_XL = {FAMILY + last for last in ("110", "111", "112")}
_OF_PILLOW = {FAMILY + last for last in ("53", "55")}
_OF_OPENJPEG = {FAMILY + last for last in ("92", "93")}
_TWELVE_BIT_JPEG = FAMILY + "51"


class NoOtherDecoder(Exception):
    """A program that is not installed would be needed."""


def pixels_of(file: bytes) -> Pixels:
    """All frames of a Part 10 file, ``(frames, rows, columns[, 3])``; colour as RGB, palettes as indices.

    Raises:
        NoOtherDecoder: dcmtk is needed and not there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = dcmread(io.BytesIO(file))
        uid = str(data_set.file_meta.TransferSyntaxUID)
        if _is_left_to_pydicom(uid, data_set):
            plugin = "" if uid in NATIVE else "pylibjpeg"
            found = np.asarray(pixel_array(data_set, decoding_plugin=plugin))
        elif uid == _TWELVE_BIT_JPEG:
            return pixels_of(_by_dcmtk(file))
        elif uid == GE_PRIVATE:
            found = np.frombuffer(data_set.PixelData, _cell(data_set).newbyteorder(">"))
        else:
            frames = generate_frames(data_set.PixelData, number_of_frames=int(data_set.get("NumberOfFrames") or 1))
            found = np.stack([_frame(uid, frame, data_set) for frame in frames])
    colour = (3,) if data_set.SamplesPerPixel == 3 else ()
    return image_part(found.reshape(-1, data_set.Rows, data_set.Columns, *colour), data_set)


def image_part(pixels: Pixels, data_set: Dataset) -> Pixels:
    """What of each cell is image (PS3.5 §8.1.1); some decoders clear the rest, others hand it out."""
    stored = int(data_set.get("BitsStored") or 0)
    rest = 8 * pixels.dtype.itemsize - stored
    is_partly = stored > 1 and rest > 0 and data_set.HighBit == stored - 1 and pixels.dtype.kind in "iu"
    return (pixels << rest) >> rest if is_partly else pixels


def _is_left_to_pydicom(uid: str, data_set: Dataset) -> bool:
    if uid in NATIVE - {GE_PRIVATE}:
        return True
    if uid == RLE:
        return bool(data_set.BitsAllocated > 1)
    if uid == _TWELVE_BIT_JPEG:
        return bool(data_set.BitsAllocated == 8)
    return uid.startswith(FAMILY) and uid not in _JPEG_XL | _OF_PILLOW | _OF_OPENJPEG


def _frame(uid: str, frame: bytes, data_set: Dataset) -> Pixels:
    if uid in _JPEG_XL:
        return np.asarray(imagecodecs.jpegxl_decode(frame))
    if uid in _OF_OPENJPEG:
        return np.asarray(openjpeg.decode(frame))
    if uid in _OF_PILLOW:
        with Image.open(io.BytesIO(frame)) as found:
            return np.asarray(found.convert("RGB") if data_set.SamplesPerPixel == 3 else found)
    if uid == RLE:
        return _bits(_packbits(frame[64:]), data_set)
    native = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame) if uid == DEFLATED_FRAME else frame
    assert uid in (DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED), f"{uid} has no independent decoder here"
    if data_set.BitsAllocated == 1:
        return _bits(native, data_set)
    size = data_set.Rows * data_set.Columns * data_set.SamplesPerPixel
    return np.frombuffer(native, _cell(data_set), count=size)


def _cell(data_set: Dataset) -> np.dtype[Any]:
    return np.dtype(f"<{'i' if data_set.PixelRepresentation else 'u'}{data_set.BitsAllocated // 8}")


def _bits(packed: bytes, data_set: Dataset) -> Pixels:
    count = data_set.Rows * data_set.Columns
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count, bitorder="little")


def _packbits(segment: bytes) -> bytes:
    """PS3.5 §G.3.2."""
    found, position = bytearray(), 0
    while position < len(segment):
        (length,) = struct.unpack_from("b", segment, position)
        if length >= 0:
            found += segment[position + 1 : position + 2 + length]
            position += 2 + length
        else:
            found += segment[position + 1 : position + 2] * (1 - length if length > -128 else 0)
            position += 2
    return bytes(found)


def _by_dcmtk(file: bytes) -> bytes:
    if shutil.which("dcmdjpeg") is None:
        raise NoOtherDecoder("dcmtk decodes JPEG of 12 bits; it is not installed")
    with tempfile.TemporaryDirectory() as folder:
        stored, made = Path(folder, "stored"), Path(folder, "made")
        stored.write_bytes(file)
        subprocess.run(["dcmdjpeg", stored, made], check=True, capture_output=True, timeout=60)
        return made.read_bytes()
