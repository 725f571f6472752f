"""How states look to people: their text made safe, put in few words, and laid out as tables (by the `cli` extra)."""
