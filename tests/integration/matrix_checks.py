"""What is wrong with an answer of the archive, in words; nothing when it is right."""

from __future__ import annotations

import io
from typing import Any

import av
import httpx
import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames

from tests.dicomweb.served import data_set_bytes, parts_of
from tests.integration import matrix_rules as rules
from tests.integration.independent_pixels import Pixels, pixels_of
from tests.integration.matrix_archive import Archive, described, is_refused
from tests.integration.matrix_pictures import expected_picture, frame_as_file
from tests.integration.matrix_samples import BIG_ENDIAN, EXPLICIT, NATIVE, Sample
from tests.integration.matrix_table import DOCUMENTS, LEVELS

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/jp2": "JPEG2000"}
"""Pillow's names."""


def wrong_frame(
    archive: Archive, sample: Sample, number: int, uid: str, answer: httpx.Response, *, is_multipart: bool
) -> str:
    """What is wrong with a frame that was given as `uid`; nothing when it is right."""
    content_type, frame = answer.headers["content-type"], answer.content
    if is_multipart:
        ((fields, frame),) = parts_of(answer)
        content_type = fields["content-type"]
        if not fields["content-location"].endswith(f"{sample.path}/frames/{number}"):
            return f"Content-Location {fields['content-location']}"
    media_type, _, told = content_type.partition("; transfer-syntax=")
    if told != uid or media_type not in (rules.MEDIA_TYPE.get(uid, rules.OCTETS), rules.OCTETS):
        return f"{content_type} is not {uid}"
    if uid == sample.uid and uid not in NATIVE:
        stored = [*generate_frames(sample.data_set.PixelData, number_of_frames=fragments(sample))]
        return "" if frame == stored[number - 1] else "not the stored bytes"
    if uid in NATIVE:
        right = _native_frame(archive.explicit(sample), number, sample, uid)
        return "" if frame == right else f"{len(frame)} bytes, not the {len(right)} of the instance"
    known = (sample, number, uid, frame)
    if known not in archive.right:
        found = pixels_of(frame_as_file(archive.explicit(sample), uid, frame))[0]
        problem = _unlike(found, archive.pixels(sample)[number - 1], uid)
        if problem:
            return problem
        archive.right.add(known)
    return ""


def fragments(sample: Sample) -> int:
    """How many frames can be asked for: a video is one."""
    return 1 if sample.is_video else sample.frames


def _unlike(found: Pixels, right: Pixels, uid: str) -> str:
    if found.shape != right.shape:
        return f"{found.shape}, not {right.shape}"
    if uid == rules.BASELINE:
        mean = np.abs(found.astype(int) - right).mean()
        return "" if mean < 12 else f"{mean} away"
    return "" if np.array_equal(found, right) else f"pixels differ by {difference(found, right)}"


def _native_frame(explicit: FileDataset, number: int, sample: Sample, uid: str) -> bytes:
    """Cut out of the whole instance, and put in the order of big endian where that is asked for."""
    value = explicit[sample.pixels].value
    if sample.bits == 1:
        pixels = explicit.Rows * explicit.Columns
        bits = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")
        frame = np.packbits(bits[(number - 1) * pixels : number * pixels], bitorder="little").tobytes()
    else:
        is_subsampled = sample.photometric == "YBR_FULL_422" and sample.uid in NATIVE
        samples_each = 2 if is_subsampled else explicit.SamplesPerPixel
        size = explicit.Rows * explicit.Columns * samples_each * sample.bits // 8
        frame = bytes(value[(number - 1) * size : number * size])
    if uid != BIG_ENDIAN:
        return frame
    word = sample.bits // 8 if sample.bits > 8 else 2 if sample.data_set[sample.pixels].VR == "OW" else 1
    whole = len(frame) // word * word
    return np.frombuffer(frame[:whole], f">u{word}").astype(f"<u{word}").tobytes() + frame[whole:]


def difference(found: Pixels, right: Pixels) -> str:
    return f"{np.abs(found.astype(float) - right).max()}" if found.shape == right.shape else "shapes"


def wrong_file(archive: Archive, sample: Sample, uid: str, file: bytes) -> str:
    if uid == sample.uid:
        return "" if data_set_bytes(file) == data_set_bytes(sample.file) else "not the stored bytes"
    if (sample, 0, uid, file) in archive.right:
        return ""
    read = dcmread(io.BytesIO(file))
    if read.file_meta.TransferSyntaxUID != uid or read.SOPInstanceUID != sample.data_set.SOPInstanceUID:
        return f"{read.file_meta.TransferSyntaxUID} of {read.SOPInstanceUID}"
    kept = {element.tag for element in sample.data_set if element.tag.element and element.tag.group != 2}
    lost = kept - {element.tag for element in read} - MAY_GO
    if lost:
        return f"lost {sorted(map(str, lost))}"
    problem = ""
    if sample.pixels and uid != EXPLICIT:  # those are compared elsewhere
        problem = _unlike(pixels_of(file), archive.pixels(sample), uid)
    if not problem:
        archive.right.add((sample, 0, uid, file))
    return problem


MAY_GO = {0x7FE00001, 0x7FE00002, 0x7FE00003, 0xFFFCFFFC, 0x00880200}
"""Tables of the old offsets, padding, an icon that is compressed itself."""


def wrong_pixel_data(
    archive: Archive, sample: Sample, media_type: str, asked: str | None, answer: httpx.Response, *, is_multipart: bool
) -> str:
    """Frames in parts, and the native value where that is stored or several frames are to be one part. The bytes of a
    video are its stream, of which nothing native could be made."""
    if sample.is_video and (media_type, asked) == (rules.OCTETS, None):
        asked = sample.uid
    is_multipart = is_multipart or media_type == "*/*"
    is_native, several = sample.uid in NATIVE, fragments(sample) > 1
    uid = rules.frames_in(sample, media_type, asked)
    if media_type == rules.OCTETS and (is_native or (several and not is_multipart)):
        uid = (
            EXPLICIT if asked in (None, "*", EXPLICIT) and (is_native or rules.can_be_made(sample, EXPLICIT)) else None
        )
    is_value = uid == EXPLICIT and (is_native or (several and not is_multipart))
    is_damaged = sample.is_damaged and not (is_native and is_value) and uid != sample.uid
    if uid is None or is_damaged or (several and not is_multipart and not is_value):
        return "" if is_refused(answer) else f"{answer.status_code} is not 406"
    if answer.status_code != 200:
        return f"{answer.status_code}: {answer.text}"
    if is_value:
        found = parts_of(answer)[0][1] if is_multipart else answer.content
        right = _stored_value(sample, "7FE00010") if is_native else archive.explicit(sample).PixelData
        return "" if found == right else f"{len(found)} bytes, not the {len(right)} of the value"
    if not is_multipart:
        return wrong_frame(archive, sample, 1, uid, answer, is_multipart=False)
    parts = parts_of(answer)
    if len(parts) != fragments(sample):
        return f"{len(parts)} parts"
    for number in {1, len(parts)}:
        alone = archive.get(f"{sample.path}/frames/{number}", described(media_type, asked, is_multipart=True))
        ((fields, frame),) = parts_of(alone)
        told, found = parts[number - 1]
        if (told["content-type"], found) != (fields["content-type"], frame):
            return f"part {number} is not frame {number}"
        if not told["content-location"].endswith(f"{sample.path}/bulkdata/7FE00010"):
            return f"Content-Location {told['content-location']}"
    return ""


def wrong_value(sample: Sample, place: str, media_type: str, answer: httpx.Response, *, is_multipart: bool) -> str:
    if media_type != rules.OCTETS:
        return "" if is_refused(answer) else f"{answer.status_code} is not 406"
    if answer.status_code != 200:
        return f"{answer.status_code}: {answer.text}"
    found = answer.content
    if is_multipart:
        ((_, found),) = parts_of(answer)
    right = _stored_value(sample, place)
    return "" if found == right else f"{len(found)} bytes, not the stored {len(right)}"


def _stored_value(sample: Sample, place: str) -> bytes:
    """Words in little endian order (PS3.18 §F.2.7)."""
    data_set: Any = sample.data_set
    *way, last = place.split("/")
    for tag, number in zip(way[::2], way[1::2], strict=True):
        data_set = data_set[tag].value[int(number) - 1]
    element = data_set[last]
    value = element.value
    if isinstance(value, str):
        return value.encode()
    value = bytes(value)
    size = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}.get(element.VR, 1)
    if sample.uid == BIG_ENDIAN and size > 1:
        value = np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes()
    return value


def wrong_picture(archive: Archive, sample: Sample, level: str, accept: str, answer: httpx.Response) -> str:
    if sample.is_video and level in LEVELS and accept.startswith("video/"):
        (stored,) = generate_frames(sample.data_set.PixelData, number_of_frames=1)
        is_right = answer.headers["content-type"] == accept and answer.content == stored
        return "" if is_right else "not the stored video"
    if accept in DOCUMENTS or accept == "video/mp4":
        told = answer.headers["content-type"]
        return "" if told.startswith(accept) and answer.content else told
    pictures = [(answer.headers["content-type"], answer.content)]
    if accept.startswith("multipart"):
        pictures = [(fields["content-type"], content) for fields, content in parts_of(answer)]
        accept = accept.partition('"')[2].strip('"')
        right = {"frame": 1, "frames": 2}.get(level, fragments(sample))
        if len(pictures) != right:
            return f"{len(pictures)} parts, not {right}"
    number = {"frame": sample.frames, "study": sample.frames // 2 + 1, "series": sample.frames // 2 + 1}.get(level, 1)
    if answer.headers["content-type"].startswith("multipart") and level in LEVELS:
        number = 1
    content_type, content = pictures[0]
    with Image.open(io.BytesIO(content)) as picture:
        size = (sample.data_set.Columns, sample.data_set.Rows)
        if content_type != accept or picture.format != FORMATS[accept] or picture.size != size:
            return f"{content_type} {picture.format} {picture.size}"
        found = np.asarray(picture).astype(int)
    if sample.is_video:
        (stored,) = generate_frames(sample.data_set.PixelData, number_of_frames=1)
        number = sample.frames // 2 if level in LEVELS else 0
        difference = np.abs(found - _film(stored)[number]).max() if accept == "image/png" else 0
        return "" if difference <= 1 else f"colours {difference} off"
    right_picture = expected_picture(archive.explicit(sample), archive.pixels(sample)[number - 1])
    if accept != "image/png" or right_picture is None:
        return ""
    return "" if np.abs(found - right_picture).max() <= 1 else f"grey values {np.abs(found - right_picture).max()} off"


def is_same_film(one: bytes, other: bytes) -> bool:
    """Whether two films show the same pictures, as far as a codec with losses can tell."""
    first, second = _film(one), _film(other)
    return first.shape == second.shape and float(np.abs(first - second).mean()) < 1


def _film(content: bytes) -> Pixels:
    with av.open(io.BytesIO(content)) as container:
        return np.stack([frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)])
