"""What users type: one function for each command, typed and documented, by theme."""
