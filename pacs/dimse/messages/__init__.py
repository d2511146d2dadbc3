"""PS3.7 without I/O: `command` (command sets), `status` (errors to statuses), `message` (fragments to messages)."""
