"""Colours of pages and plots, in the light and the dark theme."""

from __future__ import annotations

PALETTE: dict[str, tuple[str, str]] = {
    "ink": ("#1c2230", "#e8ebf1"),
    "muted": ("#5f6b7d", "#9aa5b6"),
    "line": ("#e3e7ed", "#2a3140"),
    "faint": ("#b9c2cf", "#4a5468"),
    "ground": ("#f5f6f9", "#0e1219"),
    "paper": ("#ffffff", "#161b25"),
    "blue": ("#3556d8", "#8ea6ff"),
    "orange": ("#d9560b", "#ff9f68"),
    "teal": ("#0b7f8f", "#55d0de"),
    "magenta": ("#b8246a", "#ff86b8"),
    "green": ("#4d8410", "#a8d964"),
    "violet": ("#7340d8", "#bda6ff"),
    "gold": ("#946000", "#ebbe55"),
    "brown": ("#8a4b3a", "#d9a494"),
}
"""Colour name -> (light theme, dark theme). Plots are drawn in the light colours."""

SERIES = ("blue", "orange", "teal", "magenta", "green", "violet", "gold", "brown")
"""Colours of lines, in order of use."""

LIGHT = {name: light for name, (light, _) in PALETTE.items()}
VARIABLES = {light: f"var(--{name})" for name, (light, _) in PALETTE.items()}
"""Light colour -> CSS variable, which has the dark colour in the dark theme."""
