"""Which SOP classes are stored (PS3.4 Annex B, GG; PS3.6 Annex A)."""

from __future__ import annotations

from functools import lru_cache

from pydicom.uid import UID

from pacs.errors import InvalidIdentity
from pacs.model import checked_uid

_DICOM_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
"""Where new storage SOP classes are registered."""
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


@lru_cache(maxsize=4096)
def is_storage_class(uid: str) -> bool:
    """Whether instances of the SOP class may be sent to be kept.

    Every registered storage class, retired ones too; classes newer than our dictionary; every private class, because
    nothing says what it is and images must not be lost for that. Not: other registered services, media directories.
    """
    try:
        checked_uid(uid, "Abstract Syntax")
    except InvalidIdentity:
        return False
    known = UID(uid)
    if not uid.startswith(_DICOM_ROOT):
        return True
    if not known.type:
        return uid.startswith(_STORAGE_ROOT)
    if known.type != "SOP Class" or uid == _MEDIA_STORAGE_DIRECTORY:
        return False
    is_nameless = known.name in ("", uid)
    return ("Storage" in known.name and "Storage Commitment" not in known.name) or (
        is_nameless and uid.startswith(_STORAGE_ROOT)
    )
