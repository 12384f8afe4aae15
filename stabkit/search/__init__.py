"""Where to look: points on the float lattice inside the declared domains, and simpler points that still fail."""
