// Quotas of control groups, version 1 and 2, read from folders like /proc/self and /sys/fs/cgroup.
#include "support/cpu_quota.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "check.hpp"

namespace gramless {
namespace {

// A file system of one process: /proc and the mounted groups below one folder.
class Files {
 public:
  Files() : root_(std::filesystem::temp_directory_path() / ("gramless_quota_" + std::to_string(getpid()))) {}
  ~Files() { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_.string() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  int cpus() const { return quota_cpus(root_.string() + "/proc/self", root_.string()); }

 private:
  std::filesystem::path root_;
};

constexpr const char* version_2_mount = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
constexpr const char* version_1_mounts =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

TEST(the_quota_is_that_of_the_process_own_group) {
  const Files files;
  files.write("/proc/self/mountinfo", version_2_mount);
  files.write("/proc/self/cgroup", "0::/user.slice/job\n");
  CHECK(files.cpus() == 0);
  files.write("/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  files.write("/sys/fs/cgroup/user.slice/job/cpu.max", "250000 100000\n");
  CHECK(files.cpus() == 3);
  files.write("/sys/fs/cgroup/user.slice/other/cpu.max", "100000 100000\n");
  CHECK(files.cpus() == 3);
}

TEST(the_lowest_quota_of_the_groups_above_counts) {
  const Files files;
  files.write("/proc/self/mountinfo", version_2_mount);
  files.write("/proc/self/cgroup", "0::/user.slice/job\n");
  files.write("/sys/fs/cgroup/user.slice/job/cpu.max", "800000 100000\n");
  files.write("/sys/fs/cgroup/user.slice/cpu.max", "200000 100000\n");
  CHECK(files.cpus() == 2);
  files.write("/sys/fs/cgroup/cpu.max", "10000 100000\n");
  CHECK(files.cpus() == 1);
}

TEST(version_1_has_two_files_and_minus_1_for_no_quota) {
  const Files files;
  files.write("/proc/self/mountinfo", version_1_mounts);
  files.write("/proc/self/cgroup", "5:cpuset:/\n2:cpu,cpuacct:/docker/abc\n0::/\n");
  files.write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  files.write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  CHECK(files.cpus() == 0);
  files.write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000\n");
  CHECK(files.cpus() == 2);
}

TEST(a_container_sees_its_group_at_the_mount_itself) {
  const Files files;
  files.write("/proc/self/mountinfo", "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
  files.write("/proc/self/cgroup", "2:cpu:/docker/abc\n");
  files.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  files.write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(files.cpus() == 4);
  files.write("/proc/self/cgroup", "2:cpu:/docker/abc/inner\n");
  files.write("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
  files.write("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
  CHECK(files.cpus() == 1);
}

TEST(names_of_groups_and_folders_may_hold_anything) {
  const Files files;
  files.write("/proc/self/mountinfo", "29 23 0:26 /a /sys/my\\040groups rw - cgroup2 cgroup2 rw\n");
  files.write("/proc/self/cgroup", "0::/a/job..1 of 2\n");
  files.write("/sys/my groups/job..1 of 2/cpu.max", "300000 100000\n");
  CHECK(files.cpus() == 3);
  files.write("/proc/self/cgroup", "0::/ab/job\n");  // another group, outside of the mount
  files.write("/sys/my groups/b/job/cpu.max", "100000 100000\n");
  files.write("/sys/my groupsb/cpu.max", "100000 100000\n");
  CHECK(files.cpus() == 0);
}

TEST(nothing_readable_is_no_quota) {
  const Files files;
  CHECK(files.cpus() == 0);
  files.write("/proc/self/mountinfo", "nonsense\n\n - \n");
  files.write("/proc/self/cgroup", "nonsense\n::\n0::/../..\n");
  CHECK(files.cpus() == 0);
}

}  // namespace
}  // namespace gramless
