"""Synthetic full-head scans of clinics' resolution with their brain masks, to be scored by `vitapps medical eval`.

    python benchmarks/clinical_heads.py LABELMAPS FOLDER
    vitapps medical eval --scan FOLDER/t1_09.nii.gz --truth FOLDER/t1_09_mask.nii.gz --merge brain

The anatomies are among those that `brain-mr-synth` was trained on, deformed anew: the scores compare ways of making a
mask, they promise nothing for a new head.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel
import numpy as np

from vitapps.datasets.synth.clinical_head import clinical_head

CASES = ((5, "flair", (0.72, 0.72, 3.0), 1), (9, "t1", (0.72, 0.72, 3.0), 2), (13, "t1", (0.9, 0.9, 4.0), 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelmaps", type=Path, help="folder of training_seg_NN.nii*")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for number, contrast, spacing, seed in CASES:
        found = next(options.labelmaps.glob(f"*_{number:02d}.nii*"))
        labels = np.asanyarray(nibabel.as_closest_canonical(nibabel.load(found)).dataobj).astype(np.int16)
        scan, mask, affine = clinical_head(labels, contrast, spacing, seed)
        stem = options.folder / f"{contrast}_{number:02d}"
        nibabel.save(nibabel.Nifti1Image(scan.astype(np.int16), affine), f"{stem}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), affine), f"{stem}_mask.nii.gz")


if __name__ == "__main__":
    main()
