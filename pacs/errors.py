"""One small tree of errors, divided where a caller decides something.

No DIMSE or HTTP status stands here: `pacs.dimse.messages.status` and
`pacs.dicomweb.http_errors` hold the only two tables that turn these into codes,
and a test walks this tree to see that neither table lacks a leaf.

Every message is one sentence for the person at the other end: what was wrong,
with the value, and what to do next. It never holds a secret or a patient's name.
"""


class PacsError(Exception):
    """Root of every error this archive raises on purpose."""


class PeerFault(PacsError):
    """What the peer sent cannot be taken; sending the same bytes again cannot help."""


class ProtocolViolation(PeerFault):
    """Bytes that break PS3.7, PS3.8 or the grammar of HTTP/multipart."""


class NotDicom(PeerFault):
    """The bytes are no DICOM file or data set at all (PS3.10 §7)."""


class MalformedDataSet(PeerFault):
    """A data set that cannot be walked: a length beyond the end, bad nesting, a torn item (PS3.5 §7)."""


class InvalidIdentity(PeerFault):
    """A UID or SOP class that is missing, empty, or not of the form of PS3.5 §9."""


class IdentityMismatch(PeerFault):
    """The data set names another instance or SOP class than the command or URL that carried it."""


class InvalidRequest(PeerFault):
    """A query key, parameter or header whose value cannot be understood."""


class TooLarge(PeerFault):
    """Larger than a configured limit; the message names the limit's setting."""


class TooBroad(PeerFault):
    """A search that would take longer than a configured deadline; a narrower one can be answered."""


class UnsupportedMedia(PeerFault):
    """A content type, transfer syntax or SOP class that is not accepted here."""


class Refused(PacsError):
    """Understood, but this principal may not; the message says who can allow it."""


class NotFound(PacsError):
    """No such patient, study, series, instance or frame that this principal may see."""


class Gone(NotFound):
    """It was deleted: it is in the trash, or it was erased and the deletion is known."""


class Conflict(PacsError):
    """An instance with this SOP Instance UID is kept already, with other bytes."""


class Retained(Conflict):
    """It may not be deleted or erased yet, or can no longer be restored."""


class CoercionImpossible(PacsError):
    """What ``ingest.coercion`` wants changed cannot be changed in this data set; it was not stored."""


class NotAcceptable(PacsError):
    """None of the representations the client accepts can be made from what is stored."""


class UndecodablePixels(PacsError):
    """The stored pixel data cannot be decoded; the stored bytes themselves stay retrievable."""


class Busy(PacsError):
    """A limit on simultaneous work is reached; try again after `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageError(PacsError):
    """Bytes or rows could not be made durable or read; nothing was acknowledged."""


class StorageFull(StorageError):
    """No room is left on the storage; the archive takes again when there is room."""


class IndexUnavailable(StorageError):
    """The index database did not answer or refused the transaction."""


class StoredBytesDamaged(StorageError):
    """What was read back is not what was stored."""
