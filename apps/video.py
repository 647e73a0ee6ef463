"""`vitapps video`: tracking, segmentation, actions, detection and prediction in clips."""

from __future__ import annotations

from vitapps.apps.console import group

app = group("Video: track, segment, classify and detect in clips.")
train_app = group("Train an embedded model again, from its published recipe.")
app.add_typer(train_app, name="train")
eval_app = group("Score the embedded models beside their baselines.")
app.add_typer(eval_app, name="eval")
