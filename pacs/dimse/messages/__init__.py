"""PS3.7 without I/O: `command` (command sets), `command_builders` (of requests and responses), `status` (errors to
statuses), `message` (fragments to messages)."""
