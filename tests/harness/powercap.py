"""The kernel's tree of energy counters, as files of our own."""


def zone(root, folder, name, microjoules, limit=1_000_000):
    """One counter; returns the file to change when it has counted on."""
    path = root / folder
    path.mkdir()
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{limit - 1}\n")
    return path / "energy_uj"
