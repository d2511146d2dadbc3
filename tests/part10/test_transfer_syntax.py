from __future__ import annotations

import warnings

import pytest
from pydicom.uid import AllTransferSyntaxes

from pacs.part10.transfer_syntax import transfer_syntax

WITHOUT_PIXEL_DATA = {"1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"} | {
    f"1.2.840.10008.1.2.7.{last}" for last in (1, 2, 3)
}
"""JPIP keeps pixels elsewhere, SMPTE ST 2110 streams them; pydicom says encapsulated of all it does not know."""


@pytest.mark.parametrize("uid", AllTransferSyntaxes)
def test_pydicom_says_the_same(uid):
    found = transfer_syntax(uid)
    assert found.uid == uid
    assert found.name == uid.name
    assert found.is_implicit_vr == uid.is_implicit_VR
    assert found.is_little_endian == uid.is_little_endian
    if uid not in WITHOUT_PIXEL_DATA:
        assert found.is_deflated == uid.is_deflated
        assert found.is_encapsulated == uid.is_encapsulated


@pytest.mark.parametrize(
    ("uid", "media_type"),
    [
        ("1.2.840.10008.1.2", "application/octet-stream"),
        ("1.2.840.10008.1.2.1.99", "application/octet-stream"),
        ("1.2.840.10008.1.2.5", "image/dicom-rle"),
        ("1.2.840.10008.1.2.4.50", "image/jpeg"),
        ("1.2.840.10008.1.2.4.51", "image/jpeg"),
        ("1.2.840.10008.1.2.4.70", "image/jpeg"),
        ("1.2.840.10008.1.2.4.80", "image/jls"),
        ("1.2.840.10008.1.2.4.91", "image/jp2"),
        ("1.2.840.10008.1.2.4.93", "image/jpx"),
        ("1.2.840.10008.1.2.4.100.1", "video/mpeg"),
        ("1.2.840.10008.1.2.4.102", "video/mp4"),
        ("1.2.840.10008.1.2.4.110", "image/jxl"),
        ("1.2.840.10008.1.2.4.202", "image/jphc"),
        ("1.2.840.10008.1.2.8.1", "application/octet-stream"),
    ],
)
def test_media_types(uid, media_type):
    assert transfer_syntax(uid).media_type == media_type


def test_private_syntax_is_explicit_little_endian():
    found = transfer_syntax("1.2.3.4")
    assert not found.is_known
    assert not found.is_implicit_vr
    assert found.is_little_endian
    assert not found.is_encapsulated


def test_ge_private_syntax_is_implicit():
    assert transfer_syntax("1.2.840.113619.5.2").is_implicit_vr


def test_nothing_warns_about_nonsense():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert transfer_syntax("../etc/passwd").media_type == "application/octet-stream"
