"""Methods under test, one file each."""
