"""Weight files: read any that people have, by way of `tensor_files`, and write our own.

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
