"""Methods for training networks of which most weights are zero."""
