"""Speed of a network on this machine: runtimes measured in turn, beside the processor's lower bound."""
