"""DICOM bytes, pure: bytes in, values out. No file, socket, thread or clock; no length is believed unchecked.

From the bytes of a file inwards:

- `file_meta`: preamble and group 0002, read and written; `transfer_syntax`: what a Transfer Syntax UID says
- `header`: `scan`, the lean walk over the top level of a data set, and typed access to single values
- `elements`: the walk itself, with every bound; `sequence_items`: the data sets nested in a sequence; `values`,
  `character_sets`: numbers and text
- `own_encoding`: the transfer syntax that a data set is in, when its sender was wrong
- `indexed_attributes`: identity, and what the index keeps per level
- `dicom_json`: the DICOM JSON Model of PS3.18 Annex F, and the way back to one bulk value
- `fragments`, `frame_table`, `frame_bytes`: the byte ranges of every frame, kept small, and a frame's bytes out of them
"""
