import gramless as gl
import numpy as np

x, noise = np.random.default_rng(0).standard_normal((2, 60, 20))
found = gl.cka_matrix({"input": x, "relu": np.maximum(x, 0), "squares": x**2, "noise": noise})
print(found.within_chance())  # True: chance explains the value
print(found.matrix[found.within_chance()].max())  # the largest such value
found.plot().figure.savefig("heatmap.png")  # hatches these cells
