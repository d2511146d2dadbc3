"""Who asks when nobody has to say so."""

from __future__ import annotations

from pacs.dicomweb.services import anonymous
from pacs.model import DEFAULT_HOSPITAL, Principal


def test_anonymous_is_of_the_default_hospital() -> None:
    assert anonymous({}) == Principal("anonymous", DEFAULT_HOSPITAL)
