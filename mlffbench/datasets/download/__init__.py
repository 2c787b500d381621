"""Published files onto the disk: fetched or imported, checked, noted, unpacked."""
