"""Properties that a loss is declared, or seen, to have, and what breaks them."""
