"""How far off the landmarks of `face-finder` are: what training puts onto true landmarks in its place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitapps.pipelines.face.faces import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class StartError:
    """Deviations as shares of the distance between the eyes: `shift` of the whole face, `noise` of each point, `yaw` of
    the nose sideways; `turn` radians; `stretch` of the size. Together they err as `face-finder` does on LFW faces that
    it did not see (0.14 on the average)."""

    shift: float = 0.08
    noise: float = 0.07
    yaw: float = 0.14
    turn: float = 0.07
    stretch: float = 0.09

    def applied(self, truth: Floats, rng: np.random.Generator) -> Floats:
        """Landmarks 5 2 with a random error."""
        eyes = float(np.hypot(*(truth[1] - truth[0])))
        angle, scale = rng.normal(0, self.turn), np.exp(rng.normal(0, self.stretch))
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        middle = truth.mean(axis=0)
        turned = (truth - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
        noise = rng.normal(0, self.noise * eyes, (5, 2))
        noise[2, 0] += rng.normal(0, self.yaw * eyes)
        return np.asarray(turned + noise + rng.normal(0, self.shift * eyes, 2))
