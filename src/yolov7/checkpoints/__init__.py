"""Weight files: read any that people have, without running what is inside; write our own.

A file of torch goes through these rooms, each of which trusts nothing that comes from the one before:

    sniff.py      any file                -> what kind it is, or what it is instead of a checkpoint
    archive.py    the zip around it       -> records, checked for place, size and checksum
    unpickle.py   the pickle inside       -> a tree of plain data, by a stack machine that imports nothing
      opcodes.py literals.py                what each opcode does; every step and every byte is metered
    symbols.py    the names it mentions   -> a closed table of what may be built; all else is refused
      arrays.py                             small numpy arrays
    storages.py   the bytes of weights    -> tensors, whose every view is checked against its storage

    safe_tensors.py a safetensors file    -> tensors and metadata, bounded like all of the above
    strangers.py  what is no checkpoint   -> what it is instead

``container.py`` puts them together (`read_torch`), ``tree.py`` reads what came out (`state_dict_of`,
`attributes_of`, `walk`). From there on it is about networks:

    rows.py       released tensors by row -> facts that the head shows: levels, classes, anchors
    official.py   those, and names        -> the variant, with every tensor in its place (`released_names.py`)
    lookalikes.py networks that tensors cannot tell apart, and which of them a file is taken for
    native.py     safetensors of ours    <-> a network and its description
    border.py     what a file says        -> names, sizes and texts that are what they should be
    families.py   what fits nowhere       -> the other family of networks that it is of
    checkpoint.py any file                -> one thing: network, names, size, notes (`load_checkpoint`)
    weights.py    what people type        -> the file that they mean
    pretrained.py a released name         -> a file in the cache (`download.py`)
"""
