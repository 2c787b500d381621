"""What files say of their structures: charge, spin, units, labels, cells, names."""
