"""Methods that train a policy with a verifier of its answers, or answer better without that."""
