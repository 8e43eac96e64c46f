"""What holds atoms apart where there are no data: a repulsive core, pseudo-data and the search for holes."""
