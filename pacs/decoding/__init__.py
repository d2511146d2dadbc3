"""Where pixels from outside meet codecs: in processes that may crash, hang or overeat without anybody else noticing.

Map: `workers` is the pool that services use (`Workers.run`), `decoder` one decoder process as the pool sees it,
`nursery` the process that has everything loaded and of which decoders are forked (`python -m pacs.decoding.nursery`),
`serving` what a decoder does, `confinement` what it may, `messages` what is said between them.
"""
