"""From Parquet to statistics to pages."""
