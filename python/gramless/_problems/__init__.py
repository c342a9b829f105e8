"""What each function computes: frozen, hashable values without arrays. The inputs travel beside them.

A problem says which of its inputs are what, computes through a backend, and knows its own derivative:

    arrays                                  how many of the inputs are (n, d); numbers and labels follow
    forward(backend, inputs, keep, report)          -> value, `problem.Saved`
    backward(backend, inputs, saved, grad, wanted)  -> for each input its gradient or None
    shapes(on_device, inputs' shapes)       -> the shapes of value and of what is saved, for tracing
    constants()                             the positions of inputs that have no derivative

keep: "" where no backward follows, "sums" where it gets the saved arrays only, "tiles" where it gets more,
"traced" for an operator, which warns of nothing, as it may run at any time; its backward gets the sums.
"""
