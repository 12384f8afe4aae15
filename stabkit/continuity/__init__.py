"""Jumps of a loss and of its slopes: located, judged against the truth, and told apart from kinks and noise."""
