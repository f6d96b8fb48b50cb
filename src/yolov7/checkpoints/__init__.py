"""Weight files: read any that people have, through `tensor_files`, and write our own.

    weights.py      a name that people type -> the file; `pretrained.py` and `download.py` fetch released ones
    checkpoint.py   a file                  -> network, names, size, notes (`load_checkpoint`)
    readers.py      contents of a file      -> the network in it, by the reader of its family:

      native.py       safetensors of ours: the network is described in the metadata (`description.py`);
                      our names without a description: the network is found by its tensors
      official.py     released names, by row (`rows.py`, `released_names.py`): likewise

    fitting.py      a network beside a file -> each tensor in its place, or a list of misfits
    lookalikes.py   networks to compare with, and those that tensors cannot tell apart
    border.py       remarks of a file       -> names, sizes and texts that are valid
    families.py     a file that fits nothing -> the other family of networks that it belongs to

Every tensor of a file must find its place in the network, or the file is refused.
"""
