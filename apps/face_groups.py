"""The command groups of `vitapps face`; the commands stand in the files that `apps/face.py` imports."""

from __future__ import annotations

from vitapps.apps.console import group

app = group("Faces: find, compare, and check whether a picture can be trusted.")
train_app = group("Train an embedded model again, from its published recipe.")
app.add_typer(train_app, name="train")
eval_app = group("Score the embedded models beside their baselines.")
app.add_typer(eval_app, name="eval")
