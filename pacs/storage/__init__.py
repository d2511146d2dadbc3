"""Objects: bytes that are kept.

- `disk`: the few operating-system calls on which durability rests, in one place so that tests can watch and break them
- `tar_record`: the format of one record of a segment, pure
- `segment_writer`: one open segment: append, make durable, recover after a crash
- `large_segment`: a segment for one large instance, filled while it arrives
- `segment_reader`: memory-mapped views of what is kept
- `segments`: `SegmentStore`, all segments of one archive
- `derived`: `DerivedStore`, small hot objects that can always be made again
"""
