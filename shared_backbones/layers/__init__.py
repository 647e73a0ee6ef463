"""Building blocks of backbones; they import torch only."""
