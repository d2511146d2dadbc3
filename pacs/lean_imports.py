"""Loading the archive without what only pixels need: pydicom brings numpy and its codecs along wherever they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OF_PIXELS = ("numpy", "PIL", "pylibjpeg", "libjpeg", "openjpeg", "rle", "gdcm", "jpeg_ls")
_OF_DOWNLOADS = ("requests", "tqdm")
"""With which pydicom fetches its test files; not installed with the archive, but perhaps beside it."""


@contextmanager
def without_pixel_libraries() -> Iterator[None]:
    """What is imported inside finds no numpy and no codec; afterwards they can be loaded as ever.

    pydicom then goes without them for good, which changes nothing for us: of it we use dictionaries, character sets
    and number formats, and decode pixels ourselves. It saves 30 to 40 MB in each process, which must be our own.
    """
    hidden = [name for name in (*_OF_PIXELS, *_OF_DOWNLOADS) if name not in sys.modules]
    for name in hidden:
        # None makes `import` raise ImportError.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
