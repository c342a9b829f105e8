"""gramless against the obvious code and its peers: checked first, timed after, interleaved."""
