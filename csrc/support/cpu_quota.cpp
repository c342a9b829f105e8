#include "support/cpu_quota.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <vector>

namespace gramless {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& parts, const std::string& wanted) {
  return std::find(parts.begin(), parts.end(), wanted) != parts.end();
}

// Where a hierarchy is mounted, and which of its groups is the root of that mount.
struct Mount {
  std::string point, group;
};

// A field of mountinfo with its escapes resolved: a space is written \040.
std::string unescaped(const std::string& text) {
  std::string found;
  for (std::size_t i = 0; i < text.size(); i++) {
    const bool escape = text[i] == '\\' && text.find_first_not_of("01234567", i + 1) >= i + 4 && i + 3 < text.size();
    found += escape ? static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)) : text[i];
    if (escape) i += 3;
  }
  return found;
}

// A line of mountinfo: "31 23 0:26 group point options ... - type source options".
bool read_mount(const std::string& line, bool version_2, Mount& mount) {
  const std::size_t dash = line.find(" - ");
  if (dash == std::string::npos) return false;
  const std::vector<std::string> before = split(line.substr(0, dash), ' '), after = split(line.substr(dash + 3), ' ');
  if (before.size() < 5 || after.size() < 3) return false;
  const bool right = version_2 ? after[0] == "cgroup2" : after[0] == "cgroup" && contains(split(after[2], ','), "cpu");
  if (right) mount = {unescaped(before[4]), unescaped(before[3])};
  return right;
}

bool find_mount(const std::string& process, bool version_2, Mount& mount) {
  std::ifstream file(process + "/mountinfo");
  for (std::string line; std::getline(file, line);)
    if (read_mount(line, version_2, mount)) return true;
  return false;
}

// CPUs, or infinity. Version 2: "max 100000" or "200000 100000"; version 1: two files, -1 where there is no limit.
double quota_of(const std::string& folder, bool version_2) {
  double quota = -1, period = 0;
  if (version_2) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : INFINITY;
}

// The lowest quota of a group and of all groups above it that are visible at the mount.
double lowest_quota(const std::string& root, const Mount& mount, std::string group, bool version_2) {
  if (mount.group != "/") group = (group + "/").starts_with(mount.group + "/") ? group.substr(mount.group.size()) : "";
  if (contains(split(group, '/'), "..")) group = "";  // outside of the mount
  double lowest = quota_of(root + mount.point, version_2);
  for (std::size_t end = group.find('/', 1); !group.empty(); end = group.find('/', end + 1)) {
    lowest = std::min(lowest, quota_of(root + mount.point + group.substr(0, end), version_2));
    if (end == std::string::npos) break;
  }
  return lowest;
}

}  // namespace

int quota_cpus(const std::string& process, const std::string& root) {
  double lowest = INFINITY;
  std::ifstream file(process + "/cgroup");
  for (std::string line; std::getline(file, line);) {  // "0::/group" or "4:cpu,cpuacct:/group"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version_2 = controllers.empty();
    Mount mount;
    if ((version_2 || contains(split(controllers, ','), "cpu")) && find_mount(process, version_2, mount))
      lowest = std::min(lowest, lowest_quota(root, mount, line.substr(second + 1), version_2));
  }
  return std::isinf(lowest) ? 0 : std::max(1, static_cast<int>(std::ceil(std::min(lowest, 1e6))));
}

}  // namespace gramless
