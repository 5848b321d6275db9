#!/bin/busybox sh
# The guest's /init, in two stages: out of the initramfs into the host's files, then from there to the script that the host wants run.
#
# What the host shares besides its root is the run folder, at /run/vm: `settings` (shell assignments) and `script` come from there;
# `stdout`, `stderr`, `booted` and `status` go back. The host takes a missing `status` as the death of the guest.

bb=/bin/busybox
share='trans=virtio,version=9p2000.L,msize=512000'

if [ "${1:-}" != stage2 ]; then
  $bb mkdir -p /proc /sys /dev /host /memory /merged
  $bb mount -t proc proc /proc
  $bb mount -t sysfs sysfs /sys
  $bb mount -t devtmpfs devtmpfs /dev
  for module in $($bb cat /modules/order); do
    $bb insmod "/modules/$module" || echo "init: cannot load $module"
  done
  # The host's root below, memory on top: writes are seen by this guest only and die with it.
  $bb mount -t 9p -o "$share,cache=loose,ro" host /host || $bb poweroff -f
  $bb mount -t tmpfs -o size=80% memory /memory
  $bb mkdir /memory/upper /memory/work
  $bb mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /merged || $bb poweroff -f
  $bb mount -t tmpfs run /merged/run
  $bb cp /bin/busybox /init /merged/run/
  $bb mkdir -p /merged/proc /merged/sys /merged/dev
  for folder in proc sys dev; do $bb mount --move "/$folder" "/merged/$folder"; done
  exec $bb switch_root /merged /run/busybox sh /run/init stage2
fi

bb=/run/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
# There is no udev: device nodes are the kernel's own, and device mapper must not wait for it.
export DM_DISABLE_UDEV=1
mkdir -p /run/vm /run/lock /dev/pts /dev/shm /dev/hugepages
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t hugetlbfs hugetlbfs /dev/hugepages
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ln -sfn /proc/self/fd /dev/fd
ln -sfn fd/0 /dev/stdin
ln -sfn fd/1 /dev/stdout
ln -sfn fd/2 /dev/stderr
$bb hostname guest
$bb ip link set lo up

mount -t 9p -o "$share,cache=none" run /run/vm
. /run/vm/settings # module_tree modules writable network scratch folder
release=$(uname -r)
mkdir -p "/lib/modules/$release"
mount --bind "$module_tree/lib/modules/$release" "/lib/modules/$release"
for pair in $writable; do # tag=folder
  mkdir -p "${pair#*=}"
  mount -t 9p -o "$share,cache=none" "${pair%%=*}" "${pair#*=}"
done
# configfs is how the kernel's own targets are set up.
modprobe configfs && mount -t configfs configfs /sys/kernel/config 2>/dev/null
for module in $modules; do
  modprobe "$module" || echo "init: cannot load $module" >>/run/vm/stderr
done
if [ -n "$network" ]; then
  modprobe virtio_net
  for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -e /sys/class/net/eth0 ] && break
    sleep 0.1
  done
  $bb ip link set eth0 up
  $bb ip addr add 10.0.2.15/24 dev eth0
  $bb ip route add default via 10.0.2.2
fi
if [ -n "$scratch" ]; then
  # On a disk of its own, since neither 9p nor tmpfs takes O_DIRECT.
  modprobe -a virtio_blk ext4
  for disk in /sys/block/vd*; do
    [ "$(cat "$disk/serial")" = scratch ] || continue
    mkdir -p /scratch
    mkfs.ext4 -q "/dev/${disk##*/}" 2>>/run/vm/stderr && mount -t ext4 "/dev/${disk##*/}" /scratch
  done
fi

cut -d' ' -f1 /proc/uptime >/run/vm/booted
cd "$folder" 2>/dev/null || cd /
bash /run/vm/script </dev/null >>/run/vm/stdout 2>>/run/vm/stderr
echo $? >/run/vm/status
sync
$bb poweroff -f
