"""Features of molecules that are known by their bonds alone."""
