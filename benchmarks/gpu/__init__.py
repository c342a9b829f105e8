"""What a GPU has to show: two scripts, what they run, and the reader of what they leave.

correctness.sh   builds for the GPU of the machine; golden probes, accuracy, graphs, tests
speed.sh         timings beside measured ceilings, ncu, sanitizers
read.py          turns the files of both into JSON, tables, golden vectors and a verdict for each kernel

Both scripts end within five minutes and write a few small files into the folder $OUT, anew after every step.
`--rehearse` runs every step without a GPU and fails where one cannot run.
"""
