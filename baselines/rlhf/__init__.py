"""Methods that learn from preferences, or from a reward learned from them."""
