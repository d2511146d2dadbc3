"""A small film as endoscopes store them: an MP4 file of H.264 as the pixel data of an instance."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41

from tests.dicomweb.served import image

ROWS, COLUMNS, FRAMES, FRAMES_PER_S = 120, 160, 60, 25


def mp4() -> bytes:
    """A red bar that grows over blue, of 2.4 s."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("libx264", rate=FRAMES_PER_S)
        track.width, track.height, track.pix_fmt = COLUMNS, ROWS, "yuv420p"
        for index in range(FRAMES):
            picture = np.zeros((ROWS, COLUMNS, 3), np.uint8)
            picture[:, : index * COLUMNS // FRAMES, 0] = 255
            picture[:, index * COLUMNS // FRAMES :, 2] = 255
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())
    return stream.getvalue()


def mp4_instance(**attributes: Any) -> FileDataset:
    """Of Video Endoscopic Image Storage; `attributes` as `tests.dicomweb.served.image` has them."""
    values: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.1.1",
        "Modality": "ES",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "YBR_PARTIAL_420",
        "PlanarConfiguration": 0,
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "NumberOfFrames": FRAMES,
        "CineRate": FRAMES_PER_S,
        "WindowCenter": None,
        "WindowWidth": None,
    }
    made = image(**(values | attributes))
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.TransferSyntaxUID = MPEG4HP41
    made.PixelData = encapsulate([mp4()])
    made["PixelData"].is_undefined_length = True
    return made
