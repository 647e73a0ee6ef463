"""The names of the kinds of evidence; nothing heavy is imported with them."""

from __future__ import annotations

from typing import Literal

EvidenceName = Literal["all", "ela", "ghost", "grid", "noise", "selfmatch"]
FALSE_ALARMS = 0.05  # of the untouched pictures called edited
MISSED = 0.20  # of the edited ones in which "no trace" is found: at 0.10 three of four untouched ones stay unsure
