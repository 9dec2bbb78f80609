"""What is kept of a run, and how it lies in Parquet; the one place that writes results/.

May import contract, errors and fingerprint only; everybody may enter.
"""
