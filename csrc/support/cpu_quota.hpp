// The number of CPUs that control groups grant this process. It knows no threads.
#pragma once

#include <string>

namespace gramless {

// The quota of the process's own group and of the groups above it, version 1 or 2, whichever is lowest, rounded up to
// whole CPUs; 0 where there is none. `process` is a folder like /proc/self; `root` is prepended to all paths found in
// it.
int quota_cpus(const std::string& process = "/proc/self", const std::string& root = "");

}  // namespace gramless
