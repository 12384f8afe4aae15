"""Proof by trying every float: what is tried, how it is judged, and the certificate that says so."""
