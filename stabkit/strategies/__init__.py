"""Hypothesis strategies for the inputs of losses: every float of a dtype, tensors, and whole samples inside domains.

They draw legal floats of the dtype exactly, from everyday numbers to the ends of the range, and shrink to numbers that
are short to write.
"""

from stabkit.strategies.aim import aim_at_excess_bits
from stabkit.strategies.inputs import edge_cases, inputs_of, samples_of, tensors
from stabkit.strategies.scalars import boundaries, extreme_floats, floats_of

__all__ = [
    "aim_at_excess_bits",
    "boundaries",
    "edge_cases",
    "extreme_floats",
    "floats_of",
    "inputs_of",
    "samples_of",
    "tensors",
]
