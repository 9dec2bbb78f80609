"""Methods for learning from a stream of experiences."""
