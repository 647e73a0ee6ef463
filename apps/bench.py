"""`vitapps bench`: ours beside the alternatives, in one run on this machine. Nothing here runs in the tests' time."""

from __future__ import annotations

from vitapps.apps.console import group

app = group("Measure this machine: ours beside the alternatives, in one run.")
