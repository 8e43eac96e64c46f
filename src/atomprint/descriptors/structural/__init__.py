"""What diffraction, counting and symmetry say of structures: numbers that have names of their own in the field."""
