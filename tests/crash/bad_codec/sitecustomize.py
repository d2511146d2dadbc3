"""Put on PYTHONPATH by a crash test: JPEG-LS frames that say so crash, hang or bomb their codec. A fault, on purpose.

Only where codecs are called: in the process that decoders are forked of, and in a control that says it is one.
"""

import os
import signal
import sys
from typing import Any


def _faulty(decode: Any) -> Any:
    def decode_or_fail(data: bytes, *arguments: Any, **named: Any) -> Any:
        if b"CRASH" in data[:40]:
            os.kill(os.getpid(), signal.SIGSEGV)
        while b"HANG" in data[:40]:
            pass
        if b"BOMB" in data[:40]:
            return bytearray(1 << 40)
        return decode(data, *arguments, **named)

    return decode_or_fail


if "pacs.decoding.nursery" in sys.orig_argv or "control" in sys.orig_argv:
    import imagecodecs

    imagecodecs.jpegls_decode = _faulty(imagecodecs.jpegls_decode)
