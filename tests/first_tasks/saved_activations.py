import gramless as gl
import numpy as np

with np.load("a.npz") as a, np.load("b.npz") as b:  # one array per layer, one row per example
    found = gl.cka_matrix(dict(a), dict(b))
found.plot(label_a="model a", label_b="model b").figure.savefig("heatmap.png")
print(found.matrix.round(2))
