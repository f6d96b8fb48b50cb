"""Files of tensors, from ``torch.save`` or in safetensors, read without running anything inside.

No step trusts the one before:

    reading.py       any file            -> its kind, its contents; `strangers.py` identifies other files
    archive.py       the zip around it   -> records, checked for place, size and checksum
    unpickle.py      the pickle inside   -> plain data, tensors and records of objects (`tree.py`)
      machine.py                            the stack, the memo, and the budget of bytes and steps
      opcodes.py                            effect of each opcode on the machine
      symbols.py, arrays.py                 closed table of what may be built; all else is refused
    storages.py      the bytes of weights -> tensors, each view checked against its storage
    torch_files.py   a file of torch     -> its tree: all of the above together
    safe_tensors.py  a safetensors file  -> tensors and metadata, bounded in the same way
"""
