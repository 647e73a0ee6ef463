"""A whole head scan, 256^3 voxels of 1 mm, through `vitapps medical segment`: time and peak memory.

    python benchmarks/volume.py [--weights CARD] [--size 256] [--threads 2] [--out benchmarks/results/volume_DATE.txt]

The scan is the demo's FLAIR on a finer grid. Bars, for 256^3 on two quiet cores: 60 s, 6 GB. Stages are wall
seconds by the run record; where they sum to much less than the whole, the rest is start-up.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from measure import arguments, report, run, verdict, vitapps
from measure import python as interpreter

MAKE = """
import pathlib, sys
import nibabel, numpy as np
from scipy.ndimage import zoom
from vitapps.datasets.samples import write_head_scan
path, size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
write_head_scan(path)
scan = nibabel.load(path)
fine = zoom(np.asanyarray(scan.dataobj).astype(np.float32), scan.header.get_zooms(), order=1)
turn = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
affine = np.eye(4)
affine[:3, :3] = turn
whole = np.random.default_rng(0).normal(4, 2, (size,) * 3).clip(0, 255).astype(np.int16)
inner = tuple(slice(max(0, (size - n) // 2), max(0, (size - n) // 2) + min(n, size)) for n in fine.shape)
cut = tuple(slice((n - (p.stop - p.start)) // 2, (n - (p.stop - p.start)) // 2 + p.stop - p.start)
            for n, p in zip(fine.shape, inner))
whole[inner] += fine[cut].astype(np.int16)
nibabel.save(nibabel.Nifti1Image(whole, affine), path)
"""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--weights", default="brain-mr-synth")
    parser.add_argument("--size", type=int, default=256, help="voxels a side")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scan, out = Path(name) / "scan.nii.gz", Path(name) / "seg.nii.gz"
        run(interpreter(MAKE, scan, options.size))
        used = run(vitapps("medical", "segment", scan, "-o", out, "-w", options.weights, "--device", "cpu", "--quiet",
                           "--threads", options.threads))  # fmt: skip
        record = json.loads(out.with_name(f"{out.name}.run.json").read_text(encoding="utf-8"))
    rows = [(stage, f"{seconds:.2f}", "", "") for stage, seconds in record["timings"].items()]
    rows.append(("whole command", f"{used.wall:.2f}", f"{used.cpu:.2f}", f"{used.rss / 1e6:.0f}"))
    notes = [
        f"engine {record['engine']}, precision {record['precision']}, {record['threads']} threads, weights "
        f"{', '.join(record['weights'])}",
        verdict("wall time", used.wall, 60, " s"),
        verdict("peak memory", used.rss / 1e9, 6, " GB"),
    ]
    report(f"medical segment of {options.size}^3 at 1 mm", ("", "wall s", "CPU s", "peak MB"), rows, notes, options.out)


if __name__ == "__main__":
    main()
