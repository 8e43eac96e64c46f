"""What the layers of pretrained potentials say of atoms."""
