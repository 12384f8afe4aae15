"""Forty faults that a search has to find: twenty planted, twenty real, from one float wide to half the domain."""

from stabkit.suites.search_faults.fault import Fault
from stabkit.suites.search_faults.planted_places import PLACES
from stabkit.suites.search_faults.planted_regimes import REGIMES
from stabkit.suites.search_faults.real_packages import COPIED
from stabkit.suites.search_faults.real_torch import OF_TORCH

FAULTS: tuple[Fault, ...] = (*PLACES, *REGIMES, *OF_TORCH, *COPIED)

__all__ = ["FAULTS", "Fault"]
