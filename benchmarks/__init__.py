"""gramless against the obvious code and other packages: answers are checked first, then times interleaved."""
