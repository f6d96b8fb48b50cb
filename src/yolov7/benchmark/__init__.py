"""How fast a network is on this machine: runtimes side by side, in turn, beside the processor's floor."""
