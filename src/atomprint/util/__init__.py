"""What every part needs and no part owns: files, extras, memory, checks of parameters."""
