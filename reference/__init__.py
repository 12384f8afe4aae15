"""Definitions of every quantity, over any number system; one family per file, named like its implementations."""
