"""The checks on a GPU: two scripts, what they run, and the reader of their results.

correctness.sh   builds for the GPU of the machine; golden probes, accuracy, graphs, tests
speed.sh         timings beside measured ceilings, ncu, sanitizers
read.py          turns the files of both into JSON, tables, golden vectors and a verdict for each kernel

Both scripts end within five minutes, and rewrite a few small files in the folder $OUT after every step.
`--rehearse` runs every step without a GPU and fails if one cannot run.
"""
