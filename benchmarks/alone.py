"""python benchmarks/alone.py COMMAND ...: time, CPU time and peak memory of it and its children, as JSON.

It is run by its path and imports little, because a process starts with the peak memory of its parent.
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
