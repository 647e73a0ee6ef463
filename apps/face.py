"""`vitapps face`: where faces are, whose they are, and whether a picture of one can be trusted."""

from __future__ import annotations

from vitapps.apps.console import group

app = group("Faces: find, compare, and check whether a picture can be trusted.")
train_app = group("Train an embedded model again, from its published recipe.")
app.add_typer(train_app, name="train")
eval_app = group("Score the embedded models beside their baselines.")
app.add_typer(eval_app, name="eval")
