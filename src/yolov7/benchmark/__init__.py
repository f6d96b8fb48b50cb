"""Speed of a network on this machine: runtimes side by side, in turn, beside the processor's floor."""
