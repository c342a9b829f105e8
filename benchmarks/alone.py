"""python benchmarks/alone.py COMMAND ...: what it and its children take, as JSON: time, CPU, peak memory.

A file to be run by its path, because it must stay small: a process begins with the peak memory of the one
that starts it.
"""

import json
import os
import sys
import time

started = time.perf_counter()
only_stderr = [(os.POSIX_SPAWN_DUP2, 2, 1)]
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=only_stderr)
_, status, used = os.wait4(child, 0)
found = {
    "seconds": time.perf_counter() - started,
    "cpu_seconds": used.ru_utime + used.ru_stime,
    "peak_bytes": used.ru_maxrss * 1024,
}
print(json.dumps(found))
sys.exit(os.waitstatus_to_exitcode(status) != 0)
