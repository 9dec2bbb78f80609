"""Methods for training networks whose weights are stored in few bits."""
