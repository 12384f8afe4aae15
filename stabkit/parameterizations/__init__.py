"""Scale parameterizations: from a raw network output p to a scale sigma(p) > 0 and its logarithm.

The forms to use, and the common forms that fail; `SPECS` says which claim catches each. Elementwise ones take any
shape, in the dtype of p. Definitions: stabkit.reference.parameterizations.

Source: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability", eq. 7 to 18, and what it cites.
"""

from stabkit.parameterizations import bounded, exponential, optimal, relative, squashed
from stabkit.parameterizations.bounded import (
    bounded_log_scale,
    bounded_scale,
    down_bounded_log_scale,
    down_bounded_scale,
    up_bounded_log_scale,
    up_bounded_log_scale_as_written,
    up_bounded_scale,
)
from stabkit.parameterizations.exponential import (
    constant_log_scale,
    constant_scale,
    exp_lin_log_scale,
    exp_lin_log_scale_unclipped,
    exp_lin_scale,
    exp_lin_scale_as_printed,
    exp_lin_scale_unclipped,
    exp_log_scale,
    exp_scale,
    global_log_scale,
    global_log_scale_as_published,
    global_scale,
    naive_exp_log_scale,
)
from stabkit.parameterizations.optimal import (
    optimal_global_log_scale,
    optimal_global_scale,
)
from stabkit.parameterizations.relative import (
    floor_of_global_log_scale,
    floor_of_global_scale,
    residual_log_scale,
    residual_mean,
    residual_scale,
)
from stabkit.parameterizations.squashed import (
    scaled_sigmoid_log_scale,
    scaled_sigmoid_scale,
    scaled_tanh_log_scale,
    scaled_tanh_scale,
    softplus_inverse_log_scale,
    softplus_inverse_scale,
)

__all__ = [
    "SPECS",
    "bounded_log_scale",
    "bounded_scale",
    "constant_log_scale",
    "constant_scale",
    "down_bounded_log_scale",
    "down_bounded_scale",
    "exp_lin_log_scale",
    "exp_lin_log_scale_unclipped",
    "exp_lin_scale",
    "exp_lin_scale_as_printed",
    "exp_lin_scale_unclipped",
    "exp_log_scale",
    "exp_scale",
    "floor_of_global_log_scale",
    "floor_of_global_scale",
    "global_log_scale",
    "global_log_scale_as_published",
    "global_scale",
    "naive_exp_log_scale",
    "optimal_global_log_scale",
    "optimal_global_scale",
    "residual_log_scale",
    "residual_mean",
    "residual_scale",
    "scaled_sigmoid_log_scale",
    "scaled_sigmoid_scale",
    "scaled_tanh_log_scale",
    "scaled_tanh_scale",
    "softplus_inverse_log_scale",
    "softplus_inverse_scale",
    "up_bounded_log_scale",
    "up_bounded_log_scale_as_written",
    "up_bounded_scale",
]

SPECS = (*exponential.SPECS, *bounded.SPECS, *squashed.SPECS, *relative.SPECS, *optimal.SPECS)
