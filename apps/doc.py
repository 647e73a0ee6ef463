"""`vitapps doc`: from a page, a photograph or a PDF to text that a person can search."""

from __future__ import annotations

from vitapps.apps.console import group
from vitapps.apps.doc_eval import add_commands as add_eval_commands
from vitapps.apps.doc_ocr import add_commands as add_ocr_commands
from vitapps.apps.doc_page import add_commands as add_page_commands
from vitapps.apps.doc_read import add_commands as add_read_commands

app = group("Documents: read pages, photographs and PDFs.")
train_app = group("Train an embedded model again, from its published recipe.")
app.add_typer(train_app, name="train")
add_ocr_commands(app)
add_eval_commands(app)
add_read_commands(app, train_app)
add_page_commands(app, train_app)
