"""The description of valid kernels in error messages."""

ALLOWED_KERNELS = (
    'Linear(), RBF(...), Laplace(...), Distance(...), Cosine(), Polynomial(...), "linear", "rbf", "laplace", '
    '"distance", "cosine" or "polynomial"'
)
