"""What another package adds to heldout: two tiny suites and a method for each."""
