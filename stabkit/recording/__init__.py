"""Watching what a loss is given in the loop that it is used in."""
