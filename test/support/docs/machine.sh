# The first process of a node as a page finds it: a root of its own that can be written, with proc, sysfs, cgroup v2 and
# devices, and no bpffs yet. Reads commands from its standard input.
# usage: machine.sh SCRATCH REPOSITORY HOSTNAME COMMANDS
set -eu
scratch=$1 repository=$2 name=$3 commands=$4
mount --make-rprivate /
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
root=$scratch/root
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mkdir -p "$root/root/sluice"
mount --rbind "$root$repository" "$root/root/sluice"
hostname "$name"
export HOME=/root PATH="$commands:/root/sluice/deploy/kubectl:/root/sluice/bin:$PATH" LC_ALL=C
exec chroot "$root" bash --norc --noprofile -c 'cd /root/sluice && exec bash --norc --noprofile'
