"""What several suites use: data, networks, metrics."""
