"""What happens before the first window: ours beside a plain script with monai and torch, on the same small scan.

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
        scan = folder / "head.nii.gz"
        run(interpreter("from vitapps.datasets.samples import write_head_scan; import pathlib, sys; "
                        "write_head_scan(pathlib.Path(sys.argv[1]))", scan))  # fmt: skip
        words = ("medical", "segment", scan, "-o", folder / "seg.nii.gz", "-w", options.weights, "--overwrite",
                 "--device", "cpu", "--quiet")  # fmt: skip
        cold = run(interpreter(OURS, *words), environment={"XDG_CACHE_HOME": str(folder / "cache")})
        found = in_turns(
            {
                "vitapps medical segment": interpreter(OURS, *words),
                "monai UNet": interpreter(THEIRS, scan, "UNet"),
                "monai SwinUNETR": interpreter(THEIRS, scan, "SwinUNETR"),
                "vitapps --help": vitapps("--help"),
            },
            options.repeats,
        )
    found = {"vitapps medical segment, cold": [cold], **found}
    rows, start, peak = [], {}, {}
    for name, usages in found.items():
        whole = min(usage.cpu for usage in usages)
        start[name] = whole if name.endswith("--help") else start_of(usages)
        peak[name] = min(usage.rss for usage in usages)
        rows.append((name, f"{start[name]:.2f}", f"{whole:.2f}", f"{peak[name] / 1e6:.0f}"))
    ours = "vitapps medical segment"
    notes = [
        verdict("CPU time before the first window", start[ours], 1.2, " s"),
        verdict("the same, cold", start[f"{ours}, cold"], 1.2, " s"),
        *(verdict(f"peak memory over {name}'s", peak[ours] / peak[name], 0.25) for name in found if "monai" in name),
        verdict("CPU time of --help", start["vitapps --help"], 0.5, " s"),
    ]  # fmt: skip
    report("before the first window", ("", "start s", "CPU s", "peak MB"), rows, notes, options.out)


if __name__ == "__main__":
    main()
