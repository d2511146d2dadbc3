"""Door 1: DICOM over TCP. `upper_layer` is PS3.8, `messages` PS3.7, `scp` PS3.4; `server` is the shell with sockets."""
