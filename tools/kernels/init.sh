#!/bin/busybox sh
# The guest's first process: file systems, modules, the smoke test, the end.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t tmpfs tmpfs /tmp
busybox mount -t tmpfs tmpfs /run
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
busybox mount -t bpf bpf /sys/fs/bpf
while read -r module; do
	busybox insmod "/modules/$module.ko" || echo "module $module does not load"
done </modules/order
ip link set lo up
echo "guest is up: $(busybox uname -r)"
cd /sluice && node --enable-source-maps test/kernels/guest.mjs >/dev/ttyS0 2>&1
echo "guest ends: $?"
busybox sync
busybox reboot -f
