"""The closed choices of `doc ocr`, apart from what computes: a command line that only prints its help imports this."""

from __future__ import annotations

from typing import Literal

OcrFormat = Literal["txt", "json", "hocr", "alto", "page", "tsv", "pdf"]
TextMode = Literal["auto", "skip", "redo", "force"]
LayoutName = Literal["auto", "rules", "network"]  # what makes blocks; auto: the network in `doc layout`, else rules
DetectorName = Literal["auto", "components", "network"]  # what finds lines; auto: the network where components fail
