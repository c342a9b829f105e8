"""What errors about a kernel say it must be."""

ALLOWED_KERNELS = (
    'Linear(), RBF(...), Laplace(...), Distance(...), Cosine(), "linear", "rbf", "laplace", "distance" '
    'or "cosine"'
)
