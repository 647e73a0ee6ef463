"""What happens before the first window of `medical segment` and `rs detect`: CPU time and peak memory of the command,
that of the first beside a plain script with monai and torch on the same small scan.

    python benchmarks/startup.py [--weights CARD] [--repeats 3] [--out benchmarks/results/startup_DATE.txt]

`start` is the CPU time of the process, imports and all, until the network is called for the first time; `cold` has no
compiled graph in OpenVINO's cache, as on the first run after an installation. The script reads the scan with nibabel,
builds MONAI's UNet or SwinUNETR with 33 classes, and runs one forward pass on a window of 96^3. Bars: 1.2 s of CPU, a
quarter of the script's peak memory, 0.5 s for `vitapps --help`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from measure import Usage, arguments, in_turns, report, run, verdict, vitapps
from measure import python as interpreter

SEGMENT, DETECT = "vitapps medical segment", "vitapps rs detect"
OURS = """
import sys, time
from vitapps.shared_backbones.engines import load
real = load.load_model
def watched(*values, **named):
    model = real(*values, **named)
    kept = model.run, model.lend
    def first_of(inner):
        def first(*inputs):
            print(f"start {time.process_time():.3f}", file=sys.stderr, flush=True)
            model.run, model.lend = kept
            return inner(*inputs)
        return first
    model.run, model.lend = (inner and first_of(inner) for inner in kept)
    return model
load.load_model = watched
from vitapps.apps.main import main
sys.exit(main())
"""
THEIRS = """
import sys, time
import nibabel, numpy as np, torch
from monai.networks.nets import SwinUNETR, UNet
scan = np.asarray(nibabel.load(sys.argv[1]).dataobj, np.float32)
kind = {
    "UNet": lambda: UNet(3, 1, 33, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2),
    "SwinUNETR": lambda: SwinUNETR(in_channels=1, out_channels=33, feature_size=24),
}[sys.argv[2]]
network = kind().eval()
window = torch.from_numpy(np.resize(scan, (1, 1, 96, 96, 96)))
print(f"start {time.process_time():.3f}", file=sys.stderr, flush=True)
with torch.inference_mode():
    network(window)
"""


def start_of(usages: list[Usage]) -> float:
    """The least CPU seconds until the first window."""
    return min(float(line.split()[1]) for item in usages for line in item.out.splitlines() if line.startswith("start "))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--weights", default="brain-mr-synth")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan, tile = folder / "head.nii.gz", folder / "tile.tif"
        run(interpreter("from vitapps.datasets.samples import write_head_scan, write_tree_tile; import pathlib, sys; "
                        "write_head_scan(pathlib.Path(sys.argv[1])); write_tree_tile(pathlib.Path(sys.argv[2]))",
                        scan, tile))  # fmt: skip
        shared = ("--overwrite", "--device", "cpu", "--quiet", "--threads", "1")
        segment = interpreter(OURS, "medical", "segment", scan, "-o", folder / "seg.nii.gz", "-w", options.weights,
                              *shared)  # fmt: skip
        detect = interpreter(OURS, "rs", "detect", tile, "-o", folder / "trees.gpkg", *shared)
        empty = {"VITAPPS_CACHE": str(folder / "cache")}
        ours = {SEGMENT: segment, DETECT: detect}
        cold = {f"{name}, cold": [run(words, environment=empty)] for name, words in ours.items()}
        found = in_turns(
            {
                **ours,
                "monai UNet": interpreter(THEIRS, scan, "UNet"),
                "monai SwinUNETR": interpreter(THEIRS, scan, "SwinUNETR"),
                "vitapps --help": vitapps("--help"),
            },
            options.repeats,
        )
    found = {**cold, **found}
    rows, start, peak = [], {}, {}
    for name, usages in found.items():
        whole = min(usage.cpu for usage in usages)
        start[name] = whole if name.endswith("--help") else start_of(usages)
        peak[name] = min(usage.rss for usage in usages)
        rows.append((name, f"{start[name]:.2f}", f"{whole:.2f}", f"{peak[name] / 1e6:.0f}"))
    notes = [
        *(verdict(f"CPU time before the first window, {name}", start[name], 1.2, " s") for name in (*cold, *ours)),
        *(verdict(f"peak memory of {SEGMENT} over {name}'s", peak[SEGMENT] / peak[name], 0.25)
          for name in found if "monai" in name),
        verdict("CPU time of --help", start["vitapps --help"], 0.5, " s"),
    ]  # fmt: skip
    report("before the first window", ("", "start s", "CPU s", "peak MB"), rows, notes, options.out)


if __name__ == "__main__":
    main()
