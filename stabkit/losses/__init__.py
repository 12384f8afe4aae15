"""Torch implementations of likelihoods and divergences, one family per file; faulty forms are labelled as such."""
