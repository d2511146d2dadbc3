"""PS3.8 without I/O: `pdu` (bytes), `negotiation` (items), `state_table` (Table 9-10), `association` (all joined)."""
