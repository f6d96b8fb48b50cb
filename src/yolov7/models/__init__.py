"""The networks of the paper: blocks, re-parameterisation, variants, and the detector."""
