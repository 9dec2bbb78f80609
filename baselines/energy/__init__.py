"""Methods for training at little cost: with and without backpropagation, with spikes."""
