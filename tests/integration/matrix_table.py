"""The resources of an image and what they are asked for: the matrix."""

from __future__ import annotations

from tests.integration import matrix_rules as rules
from tests.integration.matrix_samples import BIG_ENDIAN, EXPLICIT, FAMILY

STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
FRAME = INSTANCE + "/frames/{frame}"
LEVELS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}

NOT_OF_ONE_IMAGE = {
    "/studies": "search",
    "/series": "search",
    "/instances": "search",
    STUDY + "/series": "search",
    STUDY + "/instances": "search",
    SERIES + "/instances": "search",
    INSTANCE + "/versions": "a list; tests/dicomweb/test_versions.py",
    "/conformance": "about the service; tests/dicomweb/test_capabilities.py",
}
"""Routes that give no representation of a stored instance."""
ANY_OF = {"image/*": "image/", "video/*": "video/", "text/*": "text/", "model/*": "model/"}
"""How the description names many media types."""

# Media type and transfer syntax of an Accept header.
Asked = tuple[str, str | None]
OTHER_UIDS = (FAMILY + "50", FAMILY + "57", FAMILY + "81", FAMILY + "91", FAMILY + "203", BIG_ENDIAN, "1.2.3")
FRAME_ASKED: list[Asked] = [
    ("*/*", None),
    ("image/*", None),
    *((rules.OCTETS, uid) for uid in (None, "*", EXPLICIT, BIG_ENDIAN, FAMILY + "90", "1.2.3")),
    *((media_type, asked) for media_type, uids in rules.MADE.items() for asked in (None, "*", *uids)),
    *((media_type, None) for media_type in rules.STORED_AS if media_type not in rules.MADE),
    *((rules.MEDIA_TYPE[uid], uid) for uid in OTHER_UIDS if uid in rules.MEDIA_TYPE),
    ("image/jls", FAMILY + "90"),
    ("text/html", None),
]
FILE_ASKED: tuple[str | None, ...] = (None, "*", EXPLICIT, *rules.LOSSLESS, *OTHER_UIDS)
SOME_ASKED: tuple[str | None, ...] = (None, "*", EXPLICIT, FAMILY + "202", FAMILY + "50")
METADATA_ASKED = {
    "application/dicom+json": ("study", "series", "instance"),
    "application/json": ("study", "series", "instance"),
    'multipart/related; type="application/dicom+xml"': ("study", "series", "instance"),
    "application/dicom+xml": ("study", "series", "instance"),
    "text/html": (),
}
"""With the levels that have it; each study here holds one instance."""
STILLS = ("image/jpeg", "image/png", "image/gif", "image/jp2")
_STORAGE = "1.2.840.10008.5.1.4.1.1."
DOCUMENTS = {
    **dict.fromkeys(("text/html", "text/plain"), _STORAGE + "88."),
    "application/pdf": _STORAGE + "104.1",
    "text/xml": _STORAGE + "104.2",
    "model/stl": _STORAGE + "104.3",
    "model/obj": _STORAGE + "104.4",
    "model/mtl": _STORAGE + "104.5",
}
"""With the SOP classes, or what they begin with, that have it."""
VIDEOS = ("video/mp4", "video/mpeg", "video/H265")
"""As stored, of instances, and of a study or series of nothing else; the first is made of frames, too."""
PICTURES_ASKED = (*STILLS, *VIDEOS, *(f'multipart/related; type="{each}"' for each in STILLS), *DOCUMENTS)
THUMBNAILS_ASKED = ("image/jpeg", "image/png", "image/gif", "image/jp2", "video/mp4", "text/html")
VALUES_ASKED = (rules.OCTETS, "image/jphc", "image/jls", "text/html")
PIXEL_VALUES = ("7FE00008", "7FE00009", "7FE00010")

_PIXELS = (INSTANCE + "/frames/{frames}", INSTANCE + "/bulkdata/{path}", INSTANCE + "/pixeldata")
_VALUES = (*(f"{path}/bulkdata" for path in LEVELS.values()), f"{STUDY}/pixeldata", f"{SERIES}/pixeldata")
ASKED: dict[str, set[str]] = {
    **{key: {"application/dicom", "multipart/related", "application/zip"} for key in LEVELS.values()},
    INSTANCE + "/versions/{number}": {"application/dicom"},
    **dict.fromkeys(
        _PIXELS,
        {media_type for media_type, _ in FRAME_ASKED} | {"multipart/related"},
    ),
    **{key: {"multipart/related"} for key in _VALUES},
    **{f"{path}/metadata": {each.partition(";")[0] for each in METADATA_ASKED} for path in LEVELS.values()},
    **{f"{path}/rendered": {each.partition(";")[0] for each in PICTURES_ASKED} for path in (*LEVELS.values(), FRAME)},
    **{f"{path}/thumbnail": set(THUMBNAILS_ASKED) for path in (*LEVELS.values(), FRAME)},
    "/wado": {"application/dicom", *PICTURES_ASKED},
}
"""Each resource of an image, with the media types that the tests below ask it for."""


OFFERED: dict[str, set[str]] = {
    **{key: {"application/dicom", "multipart/related", "application/zip"} for key in LEVELS.values()},
    INSTANCE + "/versions/{number}": {"application/dicom"},
    **{key: {rules.OCTETS, "multipart/related", "image/*", "video/*"} for key in _PIXELS},
    **{key: {"multipart/related"} for key in _VALUES},
    **{
        f"{path}/metadata": {"application/dicom+json", "application/json", "application/dicom+xml", "multipart/related"}
        for path in LEVELS.values()
    },
    **{f"{path}/rendered": {*STILLS, *VIDEOS, "multipart/related", *DOCUMENTS} for path in LEVELS.values()},
    f"{FRAME}/rendered": {*STILLS, "video/mp4", "multipart/related"},
    **{f"{path}/thumbnail": {"image/jpeg", "image/png"} for path in (*LEVELS.values(), FRAME)},
    "/wado": {"application/dicom", "image/*", "video/*", "text/*", "application/pdf", "model/*"},
}
"""What the description of each route tells of."""
