"""The paper's tables and figures, computed or measured here beside what is printed there."""
