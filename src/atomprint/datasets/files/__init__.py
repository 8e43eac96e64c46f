"""Data sets from files of one's own, in every form in which people keep them."""
