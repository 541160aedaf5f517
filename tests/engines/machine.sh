# shellcheck shell=sh
# The first process of a machine that tests/engines/machine.rs makes: machine.sh ROOT SHARED SCRATCH
#
# It starts in namespaces of its own (mounts, processes, network), makes ROOT its root folder, with every change to it kept in
# memory, says its process number, and ends when its standard input does. Everything in the machine ends with it.
set -eu
root=$1 shared=$2 scratch=$3

# /proc is still the one outside, so this is the number that nsenter needs.
read -r pid _ </proc/self/stat

mount -t tmpfs -o mode=755 tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
# With both versions of control groups mounted, crun refuses to run.
if [ -d sys/fs/cgroup/unified ]; then
  umount sys/fs/cgroup/unified
fi
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/outside run/ocify
mount --bind "$shared" run/ocify
pivot_root . run/outside
cd /
umount --lazy run/outside
rmdir run/outside

echo "$pid"
# Reads until the end of the input; to wait for it also buries orphans, whose parent this process is.
exec 3<&0
cat <&3 >/dev/null &
wait "$!"
