"""The form in which the metadata of one series is kept in the derived store. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from pacs.storage.compressed_template import Template

_FORM: Final = "1"
_MAX_HEAD_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class KeptMetadata:
    """The metadata of one series, without the brackets around it."""

    revision: str
    """`pacs.index.contents.SeriesRow.revision` of the series that it was made of."""
    identity: str
    """The same for the same instances in the same order, another one otherwise."""
    instances: int
    template: Template

    def encoded(self) -> bytes:
        """As it is kept: a line of JSON, then the compressed pieces."""
        template = self.template
        head = {
            "form": _FORM,
            "revision": self.revision,
            "identity": self.identity,
            "instances": self.instances,
            "size": template.size,
            "checks": template.checks,
            "shift": template.shift,
            "pieces": [len(piece) for piece in template.pieces],
        }
        return b"".join([json.dumps(head, separators=(",", ":")).encode("ascii"), b"\n", *template.pieces])

    @classmethod
    def decoded(cls, content: bytes) -> KeptMetadata | None:
        """What `encoded` gave; None when this version does not keep it so."""
        end = content.find(b"\n", 0, _MAX_HEAD_BYTES)
        try:
            head = json.loads(content[: max(end, 0)])
            if head["form"] != _FORM:
                return None
            whole, offset, pieces = memoryview(content), end + 1, []
            for length in head["pieces"]:
                pieces.append(whole[offset : offset + length])
                offset += length
            if offset != len(content) or any(length < 0 for length in head["pieces"]):
                return None
            first, second = head["checks"]
            template = Template(tuple(pieces), int(head["size"]), (int(first), int(second)), int(head["shift"]))
            return cls(str(head["revision"]), str(head["identity"]), int(head["instances"]), template)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
