"""Comparisons of gramless with the obvious code and with its peers: checked first, timed after, interleaved."""
