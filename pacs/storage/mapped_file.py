"""Files mapped for reading that the kernel can also send by itself, without a copy through this process."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import NamedTuple


class MappedFile(mmap.mmap):
    """All of a file, read-only. The file stays open as long as a view of the mapping is held."""

    handle: int = -1

    @classmethod
    def of(cls, handle: int) -> MappedFile:
        """Map the open file, which is closed with the mapping; raises OSError, ValueError, and leaves it open then."""
        mapping = cls(handle, 0, access=mmap.ACCESS_READ)
        mapping.handle = handle
        return mapping

    def __del__(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)


class FilePiece(NamedTuple):
    """Bytes that lie in a file: for ``sendfile`` as long as `view` is held."""

    handle: int
    offset: int
    view: memoryview


def piece_of_file(view: memoryview) -> FilePiece | None:
    """Where in its file `view` lies; None when it is no view of a `MappedFile`."""
    mapping = view.obj
    if not isinstance(mapping, MappedFile) or mapping.handle < 0 or not view.contiguous:
        return None
    return FilePiece(mapping.handle, _address(view) - _address(memoryview(mapping)), view)


class _Buffer(ctypes.Structure):
    """``Py_buffer`` of the stable ABI."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_SIMPLE = 0


def _address(view: memoryview) -> int:
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(buffer), _SIMPLE)
    try:
        return int(buffer.buf or 0)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
