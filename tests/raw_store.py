"""C-STORE of a data set's own bytes with pynetdicom, which would otherwise encode it again."""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

from pynetdicom.dimse_primitives import C_STORE


def store_bytes(
    association: Any,
    sop_class_uid: str,
    sop_instance_uid: str,
    data_set: bytes,
    *,
    context_id: int,
    message_id: int = 1,
) -> C_STORE | None:
    """Send `data_set` as it is and wait for the response; None when the peer is gone."""
    request = C_STORE()
    request.MessageID, request.Priority = message_id, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class_uid, sop_instance_uid
    request.DataSet = BytesIO(data_set)
    # pynetdicom's own reactor must not take the response: it is paused, as its send_c_store does.
    association._reactor_checkpoint.clear()
    while not association._is_paused and association.is_alive():
        time.sleep(0.0005)
    try:
        association.dimse.send_msg(request, context_id)
        _, response = association.dimse.get_msg(block=True)
    finally:
        association._reactor_checkpoint.set()
        while association._is_paused and association.is_alive():
            time.sleep(0.0005)
    return response if response is not None and response.Status is not None else None
