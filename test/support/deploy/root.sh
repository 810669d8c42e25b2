# Sourced by the scripts that run containers.

# lay_root IMAGE SCRATCH: the image below a layer that can be written, so that mount points can be made, at SCRATCH/root; with
# proc, a sysfs that is read only, and the few devices that every container has.
lay_root() {
	mkdir -p "$2/upper" "$2/work" "$2/root"
	mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
	mount -t proc proc "$2/root/proc"
	mount --bind "$2/root/proc/sys" "$2/root/proc/sys"
	mount -o remount,bind,ro "$2/root/proc/sys"
	mount -t sysfs -o ro sysfs "$2/root/sys"
	mount -t tmpfs -o mode=755 tmpfs "$2/root/dev"
	for device in null zero full random urandom; do
		: >"$2/root/dev/$device"
		mount --bind "/dev/$device" "$2/root/dev/$device"
	done
}
