"""What rounding leaves of sums whose terms cancel."""

LEFT_OF_CANCELLING = 2.0**-44
"""What is left of such a sum is below this share of the size of its terms; the same in cpp/core/pooling.hpp."""
