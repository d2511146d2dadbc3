"""Images of every stored transfer syntax, one of each kind: real ones, those of the pydicom package, and made ones.

Each is an instance of a study and series of its own, whatever UIDs it had.
"""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom import config, dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, generate_uid

from tests.dicomweb.served import image

FAMILY = "1.2.840.10008.1.2.4."
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, ENCAPSULATED_UNCOMPRESSED = EXPLICIT + ".99", EXPLICIT + ".98"
RLE, DEFLATED_FRAME = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
GE_PRIVATE, UNKNOWN = "1.2.840.113619.5.2", "1.2.840.99999.1.2.3"
NATIVE = {IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, GE_PRIVATE}

MAX_SAMPLE_BYTES = 420_000
FEW_PIXELS = 70_000
"""Larger ones take part with PACS_SOAK only, unless no smaller one is nearly of their kind."""
LONG_SERIES, OF_A_LONG_SERIES = 100, 6
NOT_TAKEN = {
    "emri_small_jpeg_2k_lossless_too_short.dcm": "its frames are cut; no decoder but ours and OpenJPEG's tells pixels",
    "example3.dcm": "what it calls JPEG is none; a made one stands for damaged frames",
    "J2K_pixelrep_mismatch.dcm": "codestream and data set disagree about the sign; decoders side with one or the other",
    "JPEG2000-embedded-sequence-delimiter.dcm": "its frame ends inside a delimiter; made to try readers",
    "MR_truncated.dcm": "its pixel data is cut; tests/part10/test_frame_table.py has such",
    "badVR.dcm": "Number of Frames is no number",
}
"""Real files without one truth, by name."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One instance as it is stored, and what pydicom says about it."""

    name: str
    file: bytes = field(repr=False)
    data_set: FileDataset = field(repr=False)
    is_damaged: bool = False
    """Its frames cannot be decoded, which only decoding them shows."""

    @property
    def uid(self) -> str:
        return str(self.data_set.file_meta.TransferSyntaxUID)

    @property
    def path(self) -> str:
        return (
            f"/studies/{self.data_set.StudyInstanceUID}/series/{self.data_set.SeriesInstanceUID}"
            f"/instances/{self.data_set.SOPInstanceUID}"
        )

    @property
    def pixels(self) -> str:
        """Keyword of the pixel data; empty without."""
        names = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
        return next((name for name in names if name in self.data_set), "") if "Rows" in self.data_set else ""

    @property
    def frames(self) -> int:
        return int(self.data_set.get("NumberOfFrames") or 1) if self.pixels else 0

    @property
    def is_video(self) -> bool:
        return self.uid.startswith(FAMILY + "10")

    @property
    def pixels_in_all(self) -> int:
        return self.frames * self.data_set.Rows * self.data_set.Columns if self.pixels else 0

    @property
    def bits(self) -> int:
        return int(self.data_set.BitsAllocated)

    @property
    def photometric(self) -> str:
        return str(self.data_set.PhotometricInterpretation)

    def __str__(self) -> str:
        return f"{self.name} ({self.uid})"


def samples(corpus: Path | None) -> list[Sample]:
    """The smallest of each kind, and all that are made here; with PACS_SOAK every real image."""
    if os.environ.get("PACS_SOAK"):
        return [*real_images(corpus, 1 << 40), *made()]
    found = sorted(real_images(corpus, MAX_SAMPLE_BYTES), key=lambda sample: sample.pixels_in_all)
    own = [*made()]
    chosen: dict[tuple[object, ...], Sample] = {}
    of_nearly_the_same = {_kind(sample)[:4] for sample in own}
    for sample in found:
        kind = _kind(sample)
        if kind not in chosen and (sample.pixels_in_all <= FEW_PIXELS or kind[:4] not in of_nearly_the_same):
            chosen[kind] = sample
            of_nearly_the_same.add(kind[:4])
    return [*chosen.values(), *own]


def _kind(sample: Sample) -> tuple[object, ...]:
    described = sample.data_set
    kind = "image" if sample.pixels else str(described.get("Modality", ""))
    coarse = (sample.uid, kind, described.get("SamplesPerPixel"), described.get("BitsAllocated"))
    names = ("PhotometricInterpretation", "BitsStored", "PixelRepresentation", "PlanarConfiguration")
    return (*coarse, sample.frames > 1, *(described.get(name) for name in names))


def real_images(corpus: Path | None, max_bytes: int) -> Iterator[Sample]:
    """Those of the pydicom package and of `corpus`, up to a size; of long series the first few."""
    roots = [Path(pydicom.__file__).parent / "data", *([corpus] if corpus else [])]
    paths = [path for root in roots for path in sorted(root.rglob("*")) if path.is_file()]
    there, taken = Counter(path.parent for path in paths), Counter[Path]()
    for path in paths:
        if path.suffix in {".py", ".pyc", ".tsv", ".md"} or path.stat().st_size > max_bytes:
            continue
        if path.name in NOT_TAKEN or (there[path.parent] > LONG_SERIES and taken[path.parent] >= OF_A_LONG_SERIES):
            continue
        sample = _read(path)
        if sample is not None:
            taken[path.parent] += "pydicom" not in path.parts
            yield sample


def _read(path: Path) -> Sample | None:
    """None for what is no image file with the UIDs of a class and a transfer syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = dcmread(path)
            if "TransferSyntaxUID" not in read.file_meta or "DirectoryRecordSequence" in read:
                return None
            if not UID(str(read.get("SOPClassUID") or "")).is_valid:
                read.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
            int(read.get("NumberOfFrames") or 1)
            return _own(path.name, read)
        except (InvalidDicomError, ValueError, TypeError, AttributeError, NotImplementedError, OSError):
            return None  # damaged in other ways than its pixels; tests/integration/test_corpus_round_trip.py has those


def _own(name: str, data_set: FileDataset, *, is_damaged: bool = False) -> Sample:
    """As an instance of its own."""
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = generate_uid(), generate_uid()
    data_set.SOPInstanceUID = generate_uid()
    meta = data_set.file_meta
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data_set.SOPClassUID, data_set.SOPInstanceUID
    if "PixelData" in data_set and data_set["PixelData"].is_undefined_length and len(data_set.PixelData) % 2:
        # Fragments of odd length are forbidden; the archive takes them, but pydicom would pad what lies behind them.
        count = int(data_set.get("NumberOfFrames") or 1)
        data_set.PixelData = encapsulate([*generate_frames(data_set.PixelData, number_of_frames=count)])
        data_set["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    validation = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        dcmwrite(stream, data_set, **_encoding(str(meta.TransferSyntaxUID)))
    finally:
        config.settings.writing_validation_mode = validation
    file = stream.getvalue()
    return Sample(name, file, dcmread(io.BytesIO(file)), is_damaged)


def _encoding(uid: str) -> dict[str, Any]:
    """pydicom asks for it with transfer syntaxes that it does not know."""
    if UID(uid).is_transfer_syntax and not UID(uid).is_private:
        return {}
    return {"implicit_vr": uid == GE_PRIVATE, "little_endian": True, "force_encoding": True}


GREY = np.rint(np.add.outer(np.arange(40) * 60, np.arange(50)) / 2389 * 4095).astype("<u2")
"""A ramp of 12 bits."""
SIGNED = (GREY.astype("<i2") - 2048).astype("<i2")
BYTES = (GREY >> 4).astype("u1")
COLOUR = np.stack([BYTES, BYTES[::-1], BYTES[:, ::-1]], axis=-1)


def made() -> Iterator[Sample]:
    """What real images are few of, or none: newer transfer syntaxes, odd encodings, other things than images."""
    for name, uid, pixels, frames, extra in _compressed():
        yield _own(f"made {name}", _encapsulated(uid, pixels, frames, **extra))
    yield _own("made big endian pixels of GE", _native(GE_PRIVATE, SIGNED.byteswap(), PixelRepresentation=1))
    for name, pixels in (("", GREY), (" bytes", BYTES), (" colour", COLOUR)):
        yield _own(f"made deflated{name}", _native(DEFLATED, pixels))
    yield _own("made implicit, three frames", _native(IMPLICIT, np.stack([GREY, GREY[::-1], GREY[:, ::-1]])))
    run_length = _native(EXPLICIT, BYTES)
    run_length.compress(RLE, generate_instance_uid=False)
    yield _own("made RLE", run_length)
    yield _own("made video", _encapsulated(FAMILY + "102", COLOUR, [_film()], NumberOfFrames=8, Columns=48))
    torn = bytes(imagecodecs.jpegls_encode(GREY))[:200]
    yield _own("made damaged", _encapsulated(FAMILY + "80", GREY, [torn]), is_damaged=True)
    unknown = _encapsulated(UNKNOWN, GREY, [b"nobody knows"])
    yield _own("made private transfer syntax", unknown)
    yield _own("made report", _report())
    yield _own("made PDF", _pdf())


def _compressed() -> Iterator[tuple[str, str, Any, list[bytes], dict[str, Any]]]:
    grey, two = GREY, [GREY, GREY[::-1].copy()]
    icc = {"PhotometricInterpretation": "YBR_ICT"}
    rct = {"PhotometricInterpretation": "YBR_RCT"}
    signed = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    for last in ("201", "202"):
        encode = imagecodecs.htj2k_encode
        yield f"HTJ2K {last} grey", FAMILY + last, grey, [encode(grey)], {"BitsStored": 16, "HighBit": 15}
        yield f"HTJ2K {last} frames", FAMILY + last, grey, [encode(each) for each in two], {
            "BitsStored": 16, "HighBit": 15, "NumberOfFrames": 2
        }  # fmt: skip
        yield f"HTJ2K {last} signed", FAMILY + last, SIGNED, [encode(SIGNED)], signed
        yield f"HTJ2K {last} colour", FAMILY + last, COLOUR, [encode(COLOUR, rgb=True, planar=False)], rct
    lossy = imagecodecs.htj2k_encode(BYTES, reversible=False, level=0.0005)
    yield "HTJ2K lossy", FAMILY + "203", BYTES, [lossy], {}
    reversible = {"level": 0, "reversible": True, "codecformat": "j2k"}
    jpx = imagecodecs.jpeg2k_encode(grey, bitspersample=12, **reversible)
    yield "JPEG 2000 part 2", FAMILY + "92", grey, [jpx], {}
    jpx = imagecodecs.jpeg2k_encode(COLOUR, level=40, codecformat="j2k", reversible=False, mct=True)
    yield "JPEG 2000 part 2 lossy", FAMILY + "93", COLOUR, [jpx], icc
    for last, quality in (("110", {"lossless": True}), ("112", {"level": 99})):
        yield f"JPEG XL {last} bytes", FAMILY + last, BYTES, [imagecodecs.jpegxl_encode(BYTES, **quality)], {}
        yield f"JPEG XL {last} colour", FAMILY + last, COLOUR, [imagecodecs.jpegxl_encode(COLOUR, **quality)], {}
    words = imagecodecs.jpegxl_encode(grey, lossless=True)
    yield "JPEG XL words", FAMILY + "110", grey, [words], {"BitsStored": 16, "HighBit": 15}
    baseline = {"PhotometricInterpretation": "YBR_FULL_422"}
    yield "JPEG 50 grey", FAMILY + "50", BYTES, [imagecodecs.jpeg8_encode(BYTES, level=95)], {}
    yield "JPEG 51 grey", FAMILY + "51", grey, [imagecodecs.jpeg8_encode(grey, level=95, bitspersample=12)], {}
    yield "JPEG 51 colour", FAMILY + "51", COLOUR, [imagecodecs.jpeg8_encode(COLOUR, level=95)], baseline
    lossless = {"lossless": True, "predictor": 1}
    yield "JPEG lossless 70", FAMILY + "70", BYTES, [imagecodecs.jpeg8_encode(BYTES, **lossless)], {}
    words = imagecodecs.jpeg8_encode(grey, bitspersample=12, **lossless)
    yield "JPEG lossless 70 words", FAMILY + "70", grey, [words], {}
    words = imagecodecs.jpeg2k_encode(SIGNED, level=60, codecformat="j2k", reversible=False)
    yield "JPEG 2000 lossy signed", FAMILY + "91", SIGNED, [words], signed
    lossy = imagecodecs.htj2k_encode(COLOUR, reversible=False, level=0.0005, rgb=True, planar=False)
    yield "HTJ2K lossy colour", FAMILY + "203", COLOUR, [lossy], icc
    jpeg = imagecodecs.jpeg8_encode(COLOUR, level=95)
    yield "JPEG XL of a JPEG", FAMILY + "111", COLOUR, [imagecodecs.jpegxl_encode_jpeg(jpeg)], {}
    for last in ("53", "55"):
        yield f"JPEG {last} grey", FAMILY + last, BYTES, [_progressive(BYTES)], {}
        yield f"JPEG {last} colour", FAMILY + last, COLOUR, [_progressive(COLOUR)], baseline
    any_predictor = imagecodecs.jpeg8_encode(grey, lossless=True, predictor=4, bitspersample=12)
    yield "JPEG lossless 57", FAMILY + "57", grey, [any_predictor], {}
    space = {"colorspace": "RGB", "outcolorspace": "RGB"}
    any_predictor = imagecodecs.jpeg8_encode(COLOUR, lossless=True, predictor=6, **space)
    yield "JPEG lossless 57 colour", FAMILY + "57", COLOUR, [any_predictor], {}
    for name, pixels in (("bytes", BYTES), ("words", grey), ("colour", COLOUR)):
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        yield (
            f"deflated frame {name}",
            DEFLATED_FRAME,
            pixels,
            [deflate.compress(pixels.tobytes()) + deflate.flush()],
            {},
        )
        yield f"encapsulated {name}", ENCAPSULATED_UNCOMPRESSED, pixels, [pixels.tobytes()], {}


def _progressive(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, progressive=True)
    return stream.getvalue()


def _film() -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = 48, 40, "yuv420p"
        for number in range(8):
            picture = np.roll(COLOUR[:, :48], number, axis=0)
            container.mux(track.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(track.encode(None))
    return stream.getvalue()


def _attributes(pixels: np.ndarray) -> dict[str, Any]:
    is_colour, bits = pixels.shape[-1] == 3, 8 * pixels.dtype.itemsize
    stored = 12 if bits == 16 and not is_colour else bits
    return {
        "Rows": 40, "Columns": 50, "SamplesPerPixel": 3 if is_colour else 1, "BitsAllocated": bits,
        "BitsStored": stored, "HighBit": stored - 1, "WindowCenter": None, "WindowWidth": None,
        "PhotometricInterpretation": "RGB" if is_colour else "MONOCHROME2",
        **({"PlanarConfiguration": 0} if is_colour else {}),
    }  # fmt: skip


def _native(uid: str, pixels: np.ndarray, **extra: Any) -> FileDataset:
    frames = {"NumberOfFrames": len(pixels)} if pixels.ndim == 3 and pixels.shape[-1] != 3 else {}
    found = image(**{**_attributes(pixels), **frames, "PixelData": pixels.tobytes(), **extra})
    found.file_meta.TransferSyntaxUID = UID(uid)
    return found


def _encapsulated(uid: str, pixels: np.ndarray, frames: list[bytes], **extra: Any) -> FileDataset:
    found = image(**{**_attributes(pixels), "PixelData": encapsulate([bytes(frame) for frame in frames]), **extra})
    found["PixelData"].VR, found["PixelData"].is_undefined_length = "OB", True
    found.file_meta.TransferSyntaxUID = UID(uid)
    return found


_NO_PIXELS = dict.fromkeys(
    ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
     "PhotometricInterpretation", "WindowCenter", "WindowWidth", "PixelData")
)  # fmt: skip


def _report() -> FileDataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "121070", "DCM", "Findings"
    found = image(
        **_NO_PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", ValueType="CONTAINER",
        ConceptNameCodeSequence=[code], ContinuityOfContent="SEPARATE",
    )  # fmt: skip
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", "Nothing to be seen."
    item.ConceptNameCodeSequence = [code]
    found.ContentSequence = [item]
    return found


def _pdf() -> FileDataset:
    return image(
        **_NO_PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", Modality="DOC",
        MIMETypeOfEncapsulatedDocument="application/pdf", EncapsulatedDocument=b"%PDF-1.4\n" + bytes(range(1, 200)),
        EncapsulatedDocumentLength=208,
    )  # fmt: skip


def mixed_study() -> list[Sample]:
    """A study of a native image, a compressed one, a report and a video, in one series."""
    found = [_read_again(sample) for sample in made() if sample.name in MIXED]
    assert len(found) == len(MIXED)
    study, series = generate_uid(), generate_uid()
    own = []
    for sample, data_set in found:
        written = _own(sample.name, data_set)
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = study, series
        stream = io.BytesIO()
        dcmwrite(stream, data_set, **_encoding(written.uid))
        own.append(Sample(written.name, stream.getvalue(), dcmread(io.BytesIO(stream.getvalue()))))
    return own


MIXED = {"made deflated", "made HTJ2K 202 grey", "made report", "made video"}


def _read_again(sample: Sample) -> tuple[Sample, FileDataset]:
    return sample, dcmread(io.BytesIO(sample.file))
