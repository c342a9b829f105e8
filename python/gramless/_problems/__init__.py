"""What each function computes: frozen, hashable values without arrays. The inputs are passed beside them.

A problem states the meaning of its inputs, and computes its value and its derivative through a backend:

    arrays                                  how many of the inputs are (n, d); numbers and labels follow
    forward(backend, inputs, keep, report)          -> value, `problem.Saved`
    backward(backend, inputs, saved, grad, wanted)  -> for each input its gradient or None
    shapes(on_device, inputs' shapes)       -> the shapes of the value and of saved arrays, for tracing
    constants()                             the positions of inputs that have no derivative

keep: "" if no backward follows; "sums" if the backward gets the saved arrays only; "tiles" if it also gets
`Saved.kept`; "traced" for an operator, whose backward gets the sums. An operator may run at any time, and so
does not warn.
"""
