"""The CUDA half in Python: arrays that live on a GPU, of any library, and launches that compute with them.

`status` says whether there is a GPU, `frameworks` whose memory an array is, `launch` enqueues the operations
of the extension module `_cuda`; `hsic` and `losses` are what public functions do with such arrays. Nothing
here waits for the device, and all memory is of the array's own library.
"""
