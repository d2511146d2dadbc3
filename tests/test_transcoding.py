"""The service: what can be had, what is made once, what is kept, and what happens to the disk."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, parse_basic_offsets
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, generate_uid

from pacs.errors import NotFound, UndecodablePixels
from pacs.model import Principal, StoredInstance
from pacs.pixels.encode import LOSSLESS_ENCODABLE
from pacs.retrieve import Retrieve
from pacs.settings import TranscodingSettings
from pacs.transcoding import MadeFile, Transcoding
from tests.dicomweb.served import DoorInMemory, archive_under, image

EXPLICIT = "1.2.840.10008.1.2.1"
HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
PIXELS = np.random.default_rng(1).integers(0, 4096, (5, 16, 24)).astype("<u2")

P = ParamSpec("P")
T = TypeVar("T")
Kept = Callable[[FileDataset], StoredInstance]


@pytest.fixture(scope="module")
def retrieve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Retrieve, Kept]]:
    with archive_under(tmp_path_factory.mktemp("archive")) as (ingest, search, retrieve):
        door = DoorInMemory(ingest, search, retrieve)

        def keep(data_set: FileDataset) -> StoredInstance:
            key = door.keep(data_set)
            return retrieve.instance(
                Principal("anonymous"),
                key.study_instance_uid,
                key.series_instance_uid or "",
                key.sop_instance_uid or "",
            )

        yield retrieve, keep


class Counting:
    """Runs what it is given, and tells how often."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls.append(function.__name__)
        assert self.may_go_on.wait(20)
        return function(*args, **kwargs)


def grey(frames: int = 5, **attributes: Any) -> FileDataset:
    values = {"BitsStored": 12, "HighBit": 11, "NumberOfFrames": frames, "PixelData": PIXELS[:frames].tobytes()}
    return image(**{**values, **attributes})


def in_syntax(data_set: FileDataset, transfer_syntax_uid: str) -> FileDataset:
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return data_set


def in_jpeg_ls(frames: int = 5) -> FileDataset:
    data_set = grey(frames, PixelData=encapsulate([imagecodecs.jpegls_encode(each) for each in PIXELS[:frames]]))
    data_set["PixelData"].is_undefined_length = True
    return in_syntax(data_set, JPEG_LS)


def read(file: MadeFile) -> FileDataset:
    content = b"".join(file.pieces())
    assert len(content) == file.length
    assert content == b"".join(file.pieces()), "it can be gone through again"
    file.close()
    return dcmread(io.BytesIO(content))


@pytest.mark.parametrize("uid", [EXPLICIT, *LOSSLESS_ENCODABLE])
@pytest.mark.parametrize("make", [grey, in_jpeg_ls])
def test_an_instance_in_every_syntax(
    retrieve: tuple[Retrieve, Kept], tmp_path: Path, uid: str, make: Callable[[], FileDataset]
) -> None:
    service, keep = retrieve
    instance = keep(make())
    made = read(Transcoding(service, tmp_path, TranscodingSettings()).file(instance, uid))
    assert made.file_meta.TransferSyntaxUID == uid
    assert made.SOPInstanceUID == instance.key.sop_instance_uid == made.file_meta.MediaStorageSOPInstanceUID
    assert (made.BitsAllocated, made.BitsStored, made.HighBit, made.NumberOfFrames) == (16, 12, 11, 5)
    assert "LossyImageCompression" not in made
    if uid == "1.2.840.10008.1.2.4.110":
        frames = [imagecodecs.jpegxl_decode(frame) for frame in _frames(made)]
        assert np.array_equal(np.stack(frames), PIXELS)
    else:
        assert np.array_equal(made.pixel_array, PIXELS)


def _frames(data_set: FileDataset) -> list[bytes]:
    from pydicom.encaps import generate_frames

    return list(generate_frames(data_set.PixelData, number_of_frames=int(data_set.NumberOfFrames)))


def test_encapsulated_frames_are_found_by_their_offset_table(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    """PS3.5 §A.4: one fragment for each frame, even lengths, offsets from the first item on."""
    service, keep = retrieve
    made = read(Transcoding(service, tmp_path, TranscodingSettings()).file(keep(grey()), JPEG_LS))
    assert made["PixelData"].VR == "OB"
    offsets = parse_basic_offsets(made.PixelData)
    assert len(offsets) == 5
    start = 8 + 4 * 5
    for offset, number in zip(offsets, range(5), strict=True):
        item = made.PixelData[start + offset : start + offset + 8]
        assert item[:4] == b"\xfe\xff\x00\xe0"
        length = int.from_bytes(item[4:], "little")
        assert length % 2 == 0
        frame = made.PixelData[start + offset + 8 : start + offset + 8 + length]
        assert np.array_equal(imagecodecs.jpegls_decode(frame), PIXELS[number])


@pytest.mark.parametrize("uid", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_native_encodings_become_explicit(retrieve: tuple[Retrieve, Kept], tmp_path: Path, uid: str) -> None:
    service, keep = retrieve
    order = "<" if uid == ImplicitVRLittleEndian else ">"
    instance = keep(in_syntax(grey(PixelData=PIXELS.astype(f"{order}u2").tobytes()), uid))
    transcoding = Transcoding(service, tmp_path, TranscodingSettings())
    for target in (EXPLICIT, HTJ2K_RPCL):
        assert np.array_equal(read(transcoding.file(instance, target)).pixel_array, PIXELS)


def test_colour_attributes_follow_the_pixels(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    pixels = np.random.default_rng(2).integers(0, 256, (16, 24, 3)).astype("u1")
    colour = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 3}
    planar = keep(
        image(
            **colour,
            PhotometricInterpretation="RGB",
            PlanarConfiguration=1,
            PixelData=np.moveaxis(pixels, -1, 0).tobytes(),
        )
    )
    transcoding = Transcoding(service, tmp_path, TranscodingSettings())
    for uid, name in ((HTJ2K_RPCL, "YBR_RCT"), (JPEG_LS, "RGB"), ("1.2.840.10008.1.2.5", "RGB")):
        made = read(transcoding.file(planar, uid))
        assert (made.PhotometricInterpretation, made.PlanarConfiguration) == (name, 0)
        assert np.array_equal(made.pixel_array, pixels)
    subsampled = keep(
        image(
            **colour,
            PhotometricInterpretation="YBR_FULL_422",
            PlanarConfiguration=0,
            PixelData=pixels.reshape(-1)[: 16 * 24 * 2].tobytes(),
        )
    )
    made = read(transcoding.file(subsampled, JPEG_LS))
    assert (made.PhotometricInterpretation, made.PlanarConfiguration) == ("YBR_FULL", 0)


def test_lossy_pixels_stay_marked_as_such(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    pixels = (np.add.outer(np.arange(16), np.arange(24)) * 5).astype("u1")
    stored = image(
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=encapsulate([imagecodecs.jpeg8_encode(pixels, level=60)]),
    )
    stored["PixelData"].is_undefined_length = True
    instance = keep(in_syntax(stored, JPEG_BASELINE))
    made = read(Transcoding(service, tmp_path, TranscodingSettings()).file(instance, HTJ2K_RPCL))
    assert made.LossyImageCompression == "01"
    assert made.SOPInstanceUID == instance.key.sop_instance_uid


def test_instances_are_never_made_lossy(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    pixels = (np.add.outer(np.arange(16), np.arange(24)) * 5).astype("u1")
    instance = keep(image(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=pixels.tobytes()))
    transcoding = Transcoding(service, tmp_path, TranscodingSettings())
    with pytest.raises(UndecodablePixels, match="lossless"):
        transcoding.file(instance, JPEG_BASELINE)
    frame = transcoding.frame(instance, 1, JPEG_BASELINE)
    assert np.abs(imagecodecs.jpeg8_decode(frame).astype(int) - pixels).max() < 12


def test_what_cannot_be_had_says_why(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    transcoding = Transcoding(service, tmp_path, TranscodingSettings())
    bits = keep(image(BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(48)))
    report = keep(image(PixelData=None, Rows=None, Columns=None))
    video = keep(in_syntax(image(PixelData=encapsulate([b"\0" * 20])), "1.2.840.10008.1.2.4.102"))
    for instance, reason in ((bits, "1-bit"), (report, "no pixel data"), (video, "no decoder")):
        for uid in LOSSLESS_ENCODABLE:
            assert reason in transcoding.obstacle(instance, uid)
            with pytest.raises(UndecodablePixels, match=reason):
                transcoding.file(instance, uid)
    assert transcoding.lossless(bits) == ()
    assert EXPLICIT in transcoding.lossless(keep(in_jpeg_ls()))
    assert np.array_equal(read(transcoding.file(report, EXPLICIT)).PatientID, "P1")


def test_a_frame_is_made_once_however_many_ask(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    instance = keep(grey())
    counting = Counting()
    counting.may_go_on.clear()
    # Two services on one folder are as two processes: only the disk is shared.
    services = [Transcoding(service, tmp_path, TranscodingSettings(), decoding=counting) for _ in range(2)]
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda each=each: found.append(each.frame(instance, 2, HTJ2K_RPCL)))
        for each in services * 4
    ]
    for thread in threads:
        thread.start()
    counting.may_go_on.set()
    for thread in threads:
        thread.join()
    assert counting.calls == ["transcoded_frame"]
    assert len(found) == 8
    assert len(set(found)) == 1
    assert np.array_equal(imagecodecs.htj2k_decode(found[0]), PIXELS[1])
    restarted = Transcoding(service, tmp_path, TranscodingSettings(), decoding=counting)
    assert restarted.frame(instance, 2, HTJ2K_RPCL) == found[0]
    assert len(counting.calls) == 1, "also after a restart"
    services[0].frame(instance, 2, "1.2.840.10008.1.2.4.201")
    assert len(counting.calls) == 1, "the same bytes under its other name"


def test_frames_of_other_instances_are_other_frames(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    transcoding = Transcoding(service, tmp_path, TranscodingSettings())
    instances = [keep(grey(1, PixelData=PIXELS[number].tobytes())) for number in range(5)]
    for _ in range(2):
        for number, instance in enumerate(instances):
            assert np.array_equal(imagecodecs.jpegls_decode(transcoding.frame(instance, 1, JPEG_LS)), PIXELS[number])


def test_what_is_kept_is_bounded(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    settings = TranscodingSettings(cache_bytes=3000, memory_bytes=3000)
    transcoding = Transcoding(service, tmp_path, settings)
    instance = keep(grey())
    for number in range(1, 6):
        transcoding.frame(instance, number, EXPLICIT) if number % 2 else transcoding.frame(instance, number, JPEG_LS)
    assert sum(path.stat().st_size for path in tmp_path.glob("*/??/*")) <= 3000
    assert transcoding._memory_bytes == sum(len(frame.data) for frame in transcoding._memory.values()) <= 3000


def test_whole_instances_do_not_push_out_what_viewers_look_at(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    counting = Counting()
    transcoding = Transcoding(service, tmp_path, TranscodingSettings(), decoding=counting)
    instance = keep(grey())
    transcoding.frame(instance, 3, JPEG_LS)
    kept = sorted(tmp_path.glob("*/??/*"))
    transcoding.file(instance, JPEG_LS).close()
    assert sorted(tmp_path.glob("*/??/*")) == kept
    assert len(counting.calls) == 5, "the frame that was there is used"


def test_a_disk_that_fails_costs_no_answer(
    retrieve: tuple[Retrieve, Kept], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service, keep = retrieve
    folder = tmp_path / "file"
    folder.write_bytes(b"where a folder should be")
    frame = Transcoding(service, folder, TranscodingSettings()).frame(keep(grey()), 1, JPEG_LS)
    assert np.array_equal(imagecodecs.jpegls_decode(frame), PIXELS[0])


def test_numbers_out_of_range(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    instance = keep(grey())
    for number in (0, 6, -1):
        with pytest.raises(NotFound):
            Transcoding(service, tmp_path, TranscodingSettings()).frame(instance, number, JPEG_LS)


def test_a_damaged_frame_ends_a_file_before_its_first_byte(retrieve: tuple[Retrieve, Kept], tmp_path: Path) -> None:
    service, keep = retrieve
    damaged = in_jpeg_ls(2)
    damaged.PixelData = encapsulate([imagecodecs.jpegls_encode(PIXELS[0]), b"no JPEG-LS"])
    damaged["PixelData"].is_undefined_length = True
    damaged.SOPInstanceUID = damaged.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    with pytest.raises(UndecodablePixels):
        Transcoding(service, tmp_path, TranscodingSettings()).file(keep(damaged), HTJ2K_RPCL)
