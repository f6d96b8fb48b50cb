"""The paper's tables and figures, computed or measured here beside the printed numbers."""
