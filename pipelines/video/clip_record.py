"""What a run record says of the clips that were read: their digests, and what decoded them and why."""

from __future__ import annotations

from pathlib import Path

from vitapps.datasets.formats.video_images import list_pictures
from vitapps.datasets.formats.video_read import ClipMeta
from vitapps.provenance import RunRecord, sha256_file, sha256_files


def note_clips(record: RunRecord, *clips: ClipMeta) -> None:
    """Add to `record` the sha256 of every clip (of a series: of its pictures in order; a stream has none), and the
    decoder that was chosen, with the reason."""
    for clip in clips:
        if clip.decoder == "pictures":
            record.inputs[clip.source] = sha256_files(list_pictures(clip.source))
        elif Path(clip.source).is_file():
            record.inputs[clip.source] = sha256_file(Path(clip.source))
    record.options["decoder"] = ", ".join(dict.fromkeys(clip.decoder for clip in clips))
    record.options["decoder_reason"] = "; ".join(dict.fromkeys(clip.decoder_reason for clip in clips))
