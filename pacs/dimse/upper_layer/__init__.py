"""PS3.8 without I/O: bytes in, events out; primitives in, bytes out.

`pdu` and `items` are the grammar, `state_table` is Table 9-10, `association` joins them into one object that a thin
shell with a socket drives, `negotiation` decides what an acceptor answers.
"""
