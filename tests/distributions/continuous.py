"""The table's families of continuous numbers, and what is made of others by maps."""

from __future__ import annotations

import numpy as np
from tests.distributions.families import family, loc_scale

family(
    "Independent",
    loc_scale,
    build=lambda D, loc, scale: D.Independent(D.Normal(loc, scale), min(1, loc.dim())),
    outside=(np.nan,),
)
family(
    "Transformed",
    loc_scale,
    build=lambda D, loc, scale: D.TransformedDistribution(
        D.Normal(0 * loc, 1 + 0 * loc), [D.AffineTransform(loc, scale), D.SigmoidTransform(), D.AffineTransform(1.0, -2.0)]
    ),
    outside=(np.nan,),
)
