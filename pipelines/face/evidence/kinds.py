"""The names of the kinds of evidence; nothing heavy is imported with them."""

from __future__ import annotations

from typing import Literal

EvidenceName = Literal["all", "ela", "ghost", "grid", "noise", "selfmatch"]
