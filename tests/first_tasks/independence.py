import gramless as gl
import numpy as np

x = np.random.default_rng(0).standard_normal((200, 1))
y = x**2 + 0.3 * np.random.default_rng(1).standard_normal((200, 1))  # dependent, not correlated
test = gl.independence_test(x, y)
print(test.pvalue, test.method)
