"""One folder a paper: `recipe.py` measures on this machine, `rows.toml` says what the paper states, what is asked of a
run and what was measured before. `vitapps papers run NAME` prints the three side by side."""
