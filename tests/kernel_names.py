"""What errors about a kernel say it must be."""

ALLOWED_KERNELS = (
    'Linear(), RBF(...), Laplace(...), Distance(...), Cosine(), Polynomial(...), "linear", "rbf", "laplace", '
    '"distance", "cosine" or "polynomial"'
)
