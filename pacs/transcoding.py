"""Instances and frames in another transfer syntax than the stored one: made when asked for, kept as room allows."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pacs import log
from pacs.decoding.workers import Decoding
from pacs.errors import StorageError, UndecodablePixels
from pacs.measured.stages import turned_out
from pacs.model import StoredInstance
from pacs.part10.file_meta import write_file_meta
from pacs.part10.header import Header, scan
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.pixels.description import PixelDescription, describe
from pacs.pixels.encode import HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, LOSSLESS_ENCODABLE, EncodedFrame
from pacs.pixels.form import form_of_frames
from pacs.pixels.recoded import RecodedPixels, data_set_pieces
from pacs.pixels.transcode import native_data_set, to_native, transcoded_frame, transcoding_obstacle
from pacs.retrieve import Retrieve
from pacs.settings import TranscodingSettings
from pacs.storage.bounded_store import BoundedStore
from pacs.storage.spool import Spool

_MAX_DESCRIPTIONS = 1024
_PIXEL_DATA = 0x7FE00010
_MAX_PIXEL_DATA_BYTES = 0xFFFFFFFE
"""What one native data element can hold (PS3.5 §7.1)."""
_MAX_SPOOLED_BYTES = 1 << 40
"""The disk's own limit comes first; the spool wants a number."""
_SPOOL_MEMORY_BYTES = 8 << 20
_LARGE_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A Part 10 file that was made. `pieces` may be gone through more than once, until `close`."""

    transfer_syntax_uid: str
    length: int
    pieces: Callable[[], Iterable[bytes | memoryview]]
    close: Callable[[], None] = lambda: None


class Transcoding:
    """Thread-safe. Processes that share a folder share what was made, and make a frame once however many ask."""

    def __init__(
        self,
        retrieve: Retrieve,
        folder: Path | None,
        settings: TranscodingSettings,
        *,
        decoding: Decoding | None = None,
    ) -> None:
        """`folder` is for frames; without one they are kept in memory only. Pixels are decoded and encoded where those
        of `retrieve` are."""
        self._retrieve = retrieve
        self._spool_folder = folder / ".spool" if folder else Path(tempfile.gettempdir())
        self._kept = BoundedStore(folder, settings.cache_bytes) if folder else None
        self._max_memory_bytes = settings.memory_bytes
        self._own_decoding = decoding
        self._lock = threading.Lock()
        self._memory: OrderedDict[str, EncodedFrame] = OrderedDict()
        self._memory_bytes = 0
        self._descriptions: OrderedDict[str, PixelDescription | str] = OrderedDict()

    def obstacle(self, instance: StoredInstance, transfer_syntax_uid: str) -> str:
        """Why the frames cannot be had in `transfer_syntax_uid`, as far as the header tells it; empty when they can.

        Raises:
            StorageError, MalformedDataSet: the instance cannot be read.
        """
        description = self._described(instance)
        return description if isinstance(description, str) else transcoding_obstacle(description, transfer_syntax_uid)

    def lossless(self, instance: StoredInstance) -> tuple[str, ...]:
        """Transfer syntaxes, other than the stored one, that the frames can be had in without loss."""
        return tuple(
            uid
            for uid in (EXPLICIT_VR_LITTLE_ENDIAN, *LOSSLESS_ENCODABLE)
            if uid != instance.transfer_syntax_uid and not self.obstacle(instance, uid)
        )

    def frame(self, instance: StoredInstance, number: int, transfer_syntax_uid: str) -> bytes:
        """One frame, by number from 1, in `transfer_syntax_uid`.

        Raises:
            NotFound: the number is out of range.
            UndecodablePixels: it cannot be decoded, or has no place in that transfer syntax.
            StorageError: the stored bytes are not there or are not those that were stored.
        """
        turned_out("transcoded")
        (fragments,) = self._retrieve.frames(instance, (number,))
        name = _name(instance, number, transfer_syntax_uid)
        kept = self._find(instance, name)
        if kept is not None:
            return kept.data
        with ExitStack() as stack:
            if self._kept is not None:
                try:
                    stack.enter_context(self._kept.turn(instance.key.hospital, instance.digest, name))
                except StorageError as problem:
                    log.failure("frames cannot be kept", problem)
            kept = self._find(instance, name)
            if kept is None:
                kept = self._made(instance, fragments, transfer_syntax_uid)
                self._keep(instance, name, kept)
            return kept.data

    def kept_frame(self, instance: StoredInstance, number: int, transfer_syntax_uid: str) -> bytes | None:
        """As `frame`, of one that was made before and is still there."""
        kept = self._find(instance, _name(instance, number, transfer_syntax_uid))
        if kept is None:
            return None
        turned_out("transcoded")
        return kept.data

    def frame_of_many(self, instance: StoredInstance, number: int, transfer_syntax_uid: str) -> EncodedFrame:
        """As `frame`, for whole instances and studies: looked up, but not kept, so that one large study does not push
        out what viewers look at."""
        turned_out("transcoded")
        (fragments,) = self._retrieve.frames(instance, (number,))
        kept = self._find(instance, _name(instance, number, transfer_syntax_uid))
        return kept or self._made(instance, fragments, transfer_syntax_uid)

    def pixel_data_length(self, instance: StoredInstance) -> int | None:
        """Bytes of what `pixel_data` gives; None when only making it tells. Raises as `obstacle`."""
        description = self._described(instance)
        if isinstance(description, str) or description.bits_allocated == 1:
            return None
        length = _native_bytes(description) * instance.number_of_frames
        return length + length % 2

    def pixel_data(self, instance: StoredInstance, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The value of Pixel Data in Explicit VR Little Endian: frames behind each other, each decoded when
        the one before is taken, of even length; or its bytes from `start` to before `end`, for which no other frames
        are decoded. These bounds are for values of which `pixel_data_length` is known.

        Raises:
            UndecodablePixels: a frame cannot be decoded; those before it were given already.
            StorageError, MalformedDataSet: it cannot be read.
        """
        turned_out("transcoded")
        description = self._described(instance)
        if not isinstance(description, str) and description.bits_allocated == 1:
            # Frames of packed pixels follow each other without a gap.
            data_set = self._retrieve.data_set(instance)
            native = self._decoding.run(to_native, data_set, instance.transfer_syntax_uid, EXPLICIT_VR_LITTLE_ENDIAN)
            yield bytes(scan(native, EXPLICIT_VR_LITTLE_ENDIAN).value(_PIXEL_DATA) or b"")
            return
        if isinstance(description, str):
            raise UndecodablePixels(description)
        each, count = _native_bytes(description), instance.number_of_frames
        end = each * count + each * count % 2 if end is None else end
        for number in range(start // each, min(count, -(-end // each))):
            frame = self.frame_of_many(instance, number + 1, EXPLICIT_VR_LITTLE_ENDIAN).data
            if len(frame) != each:
                raise UndecodablePixels(f"frame {number + 1} has {len(frame)} bytes when it is decoded, not {each}")
            begin, stop = max(0, start - number * each), min(each, end - number * each)
            yield frame if stop - begin == each else frame[begin:stop]
        if start <= each * count < end:
            yield b"\0"

    def file(self, instance: StoredInstance, transfer_syntax_uid: str) -> MadeFile:
        """The instance as a Part 10 file in `transfer_syntax_uid`: as stored when that is the stored one.

        Several frames wait in a file without a name, so that memory holds one of them. The SOP Instance UID stays: only
        lossless transfer syntaxes are made.

        Raises:
            UndecodablePixels: it has no pixel data to compress, or they have no place in that transfer syntax.
            StorageError, MalformedDataSet: it cannot be read.
        """
        if transfer_syntax_uid == instance.transfer_syntax_uid:
            file = self._retrieve.file(instance)
            return MadeFile(transfer_syntax_uid, len(file), lambda: (file,))
        data_set = self._retrieve.data_set(instance)
        header = self._retrieve.header(instance)
        meta = write_file_meta(
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.key.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
        )
        is_native = transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
        if is_native and (header.pixel_data is None or not header.is_encapsulated):
            pieces = list(_larger((meta, *native_data_set(header))))
            return MadeFile(transfer_syntax_uid, sum(map(len, pieces)), lambda: pieces)
        description = self._described(instance)
        if isinstance(description, str):
            raise UndecodablePixels(f"the instance can't be made into {transfer_syntax_uid}: {description}")
        if is_native and description.bits_allocated == 1:
            # Frames of packed pixels follow each other without a gap, so they are packed together.
            whole = self._decoding.run(to_native, data_set, instance.transfer_syntax_uid, transfer_syntax_uid)
            return MadeFile(transfer_syntax_uid, len(meta) + len(whole), lambda: (meta, whole))
        if transfer_syntax_uid not in LOSSLESS_ENCODABLE and not is_native:
            raise UndecodablePixels(
                f"whole instances are made in lossless transfer syntaxes only, not in {transfer_syntax_uid}"
            )
        return self._recoded(instance, header, description, transfer_syntax_uid, meta)

    def _recoded(
        self, instance: StoredInstance, header: Header, description: PixelDescription, uid: str, meta: bytes
    ) -> MadeFile:
        count = description.number_of_frames
        if instance.number_of_frames < count:
            raise UndecodablePixels(f"the data set says {count} frames; {instance.number_of_frames} are there")
        spool = Spool(self._spool_folder, max_bytes=_MAX_SPOOLED_BYTES, memory_bytes=_SPOOL_MEMORY_BYTES)
        try:
            lengths, interpretations = [], set()
            for number in range(1, count + 1):
                frame = self.frame_of_many(instance, number, uid)
                spool.write(frame.data)
                lengths.append(len(frame.data))
                interpretations.add(frame.photometric_interpretation)
            if len(interpretations) != 1:
                names = ", ".join(sorted(interpretations))
                raise UndecodablePixels(f"frames of one image decode to different colours: {names}")
            if uid == EXPLICIT_VR_LITTLE_ENDIAN and spool.length > _MAX_PIXEL_DATA_BYTES:
                raise UndecodablePixels(f"decompressed, the pixels take {spool.length} bytes, more than DICOM can hold")
        except BaseException:
            spool.clear()
            raise
        pixels = RecodedPixels(uid, interpretations.pop(), lengths)

        def pieces() -> Iterator[bytes | memoryview]:
            yield meta
            yield from _larger(data_set_pieces(header, description, pixels, _frames_in(spool, lengths)))

        around = sum(map(len, data_set_pieces(header, description, pixels, ((),) * count)))
        return MadeFile(uid, len(meta) + around + spool.length, pieces, spool.clear)

    @property
    def _decoding(self) -> Decoding:
        return self._own_decoding or self._retrieve.decoding

    def _made(self, instance: StoredInstance, fragments: tuple[memoryview, ...], uid: str) -> EncodedFrame:
        description = self._described(instance)
        if isinstance(description, str):
            raise UndecodablePixels(f"the frame can't be made into {uid}: {description}")
        return self._decoding.run(transcoded_frame, description, fragments, uid)

    def _described(self, instance: StoredInstance) -> PixelDescription | str:
        """What the Image Pixel Module says, or why it says nothing usable."""
        with self._lock:
            found = self._descriptions.get(instance.digest)
        if found is None:
            try:
                found = describe(self._retrieve.header(instance))
            except UndecodablePixels as problem:
                found = str(problem)
            with self._lock:
                self._descriptions[instance.digest] = found
                while len(self._descriptions) > _MAX_DESCRIPTIONS:
                    self._descriptions.popitem(last=False)
        return found

    def _find(self, instance: StoredInstance, name: str) -> EncodedFrame | None:
        with self._lock:
            found = self._memory.get(f"{instance.key.hospital}/{name}")
            if found is not None:
                self._memory.move_to_end(f"{instance.key.hospital}/{name}")
                return found
        if self._kept is None:
            return None
        try:
            content = self._kept.get(instance.key.hospital, instance.digest, name)
        except StorageError as problem:
            log.failure("a kept frame cannot be read", problem)
            return None
        if content is None:
            return None
        interpretation, _, data = content.partition(b"\n")
        frame = EncodedFrame(data, interpretation.decode("latin-1"))
        self._remember(instance, name, frame)
        return frame

    def _keep(self, instance: StoredInstance, name: str, frame: EncodedFrame) -> None:
        self._remember(instance, name, frame)
        if self._kept is None:
            return
        try:
            head = frame.photometric_interpretation.encode("latin-1", "replace") + b"\n"
            self._kept.put(instance.key.hospital, instance.digest, name, head + frame.data)
        except StorageError as problem:
            log.failure("a frame cannot be kept", problem)

    def _remember(self, instance: StoredInstance, name: str, frame: EncodedFrame) -> None:
        key, size = f"{instance.key.hospital}/{name}", len(frame.data)
        if size > self._max_memory_bytes // 4:
            return
        with self._lock:
            before = self._memory.pop(key, None)
            self._memory[key] = frame
            self._memory_bytes += size - (len(before.data) if before else 0)
            while self._memory_bytes > self._max_memory_bytes:
                _, oldest = self._memory.popitem(last=False)
                self._memory_bytes -= len(oldest.data)


def _native_bytes(description: PixelDescription) -> int:
    """Of one frame that was decoded: nothing is subsampled any more."""
    return description.samples_per_frame * description.bits_allocated // 8


def _name(instance: StoredInstance, number: int, transfer_syntax_uid: str) -> str:
    """Of the digest of the bytes, so that it can never be of another instance or version."""
    # The frames of HTJ2K that are made are always in RPCL order, so the two names mean the same bytes.
    uid = HTJ2K_LOSSLESS_RPCL if transfer_syntax_uid == HTJ2K_LOSSLESS else transfer_syntax_uid
    return f"frame/{form_of_frames()}/{instance.digest}/{number}/{instance.transfer_syntax_uid}/{uid}"


def _larger(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The same bytes with small pieces joined: each one costs a thread hop when it is sent."""
    waiting = bytearray()
    for piece in pieces:
        if len(piece) >= _LARGE_PIECE_BYTES:
            if waiting:
                yield bytes(waiting)
                waiting.clear()
            yield piece
        else:
            waiting += piece
            if len(waiting) >= _LARGE_PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)


def _frames_in(spool: Spool, lengths: Iterable[int]) -> Iterator[Iterator[bytes]]:
    offset = 0
    for length in lengths:
        yield spool.read(offset, length)
        offset += length
