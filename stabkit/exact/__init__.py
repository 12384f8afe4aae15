"""A program run on exact real numbers, and beside its native run."""
