from __future__ import annotations

import pytest
from pynetdicom.sop_class import _QR_CLASSES, _STORAGE_CLASSES

from pacs.dimse.scp.storage_classes import is_storage_class


@pytest.mark.parametrize("uid", _STORAGE_CLASSES.values(), ids=_STORAGE_CLASSES.keys())
def test_registered_storage_classes_are_kept(uid: str) -> None:
    assert is_storage_class(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.5",  # Nuclear Medicine Image Storage, retired
        "1.2.840.10008.5.1.4.1.1.99999",  # newer than any dictionary
        "1.2.840.113619.4.26",  # GE private
        "1.3.12.2.1107.5.9.1",  # Siemens private
    ],
)
def test_retired_new_and_private_classes_are_kept(uid: str) -> None:
    assert is_storage_class(uid)


@pytest.mark.parametrize(
    "uid",
    [
        *_QR_CLASSES.values(),
        "1.2.840.10008.1.1",
        "1.2.840.10008.1.20.1",
        "1.2.840.10008.1.3.10",
        "1.2.840.10008.5.1.4.31",
        "1.2.840.10008.5.1.4.1.1.201.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.77",
        "",
        "../../x",
        "1..2",
    ],
)
def test_other_services_and_what_is_no_uid_are_not(uid: str) -> None:
    assert not is_storage_class(uid)
