# What the scripts of the guest tests share: a target, its RPC, Linux's initiator, and failures that say what they saw. Read by bash.
#
# DOORBELL_BIN is the binary. The target runs beside the initiator in the same guest; what it serves lies on the guest's own disk.

set -Eeuo pipefail
NQN=nqn.2026-11.io.doorbell:guest
HOST=nqn.2014-08.org.nvmexpress:uuid:0f3a7a52-6d0c-4b8e-9c55-6f6d6f5a2b10
SOCK=/run/doorbell.sock
LOG=/run/target.log
PORT=4420
TARGET=

# Every step prints a line, with the seconds since boot of the script.
step() { printf '== %3d s: %s\n' "$SECONDS" "$*"; }

fail() {
  trap - ERR
  {
    echo "FAILED: $*"
    echo '--- target'; tail -n 40 "$LOG" || true
    echo '--- kernel'; dmesg | tail -n 40 || true
    echo '--- host'; nvme list-subsys || true
    ps -o pid,stat,wchan:20,args -A | grep -v '\[' | tail -n 15 || true
  } >&2
  exit 1
}
trap 'fail "line $LINENO of ${BASH_SOURCE[0]:-the script}, called at ${BASH_LINENO[*]}: $BASH_COMMAND"' ERR

# `within SECONDS WHAT COMMAND..`: until the command succeeds.
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < end)) || fail "not in time: $what"
    sleep 0.1
  done
}

# `same WHAT IS SHOULD_BE`
same() { [[ $2 == "$3" ]] || fail "$1 is '$2', not '$3'"; }

# `refused WORDS COMMAND..`: it fails, and says so.
refused() {
  local words=$1
  shift
  "$@" >/run/said 2>&1 && fail "was not refused: $*"
  grep -qF -- "$words" /run/said || fail "does not say '$words': $(cat /run/said)"
}
# `says WORDS COMMAND..`: it works, and says so.
says() {
  local words=$1
  shift
  "$@" >/run/said 2>&1 || fail "failed: $*: $(cat /run/said)"
  grep -qF -- "$words" /run/said || fail "does not say '$words': $(cat /run/said)"
}

rpc() { "$DOORBELL_BIN" rpc -s "$SOCK" "$@"; }
answers() {
  kill -0 "$TARGET" 2>/dev/null || fail 'the target has ended'
  rpc spdk_get_version >/dev/null 2>&1
}

# `serve FLAGS..`: starts a target; it answers when this comes back.
serve() {
  echo "--- doorbell serve -r $SOCK $*" >>"$LOG"
  "$DOORBELL_BIN" serve -r "$SOCK" "$@" >>"$LOG" 2>&1 &
  TARGET=$!
  within 60 'the target answers RPC' answers
}

# `configure BDEV_METHOD PARAMETERS..`: one subsystem with one file of 128 MiB.
configure() {
  truncate -s 128M /scratch/disk.img
  rpc "$@" name=disk filename=/scratch/disk.img block_size=512 >/dev/null
  rpc nvmf_create_transport trtype=TCP >/dev/null
  rpc nvmf_create_subsystem nqn=$NQN allow_any_host=true serial_number=GUEST1 >/dev/null
  rpc nvmf_subsystem_add_ns nqn=$NQN namespace.bdev_name=disk >/dev/null
  rpc nvmf_subsystem_add_listener nqn=$NQN listen_address.trtype=TCP listen_address.adrfam=IPv4 \
    listen_address.traddr=127.0.0.1 listen_address.trsvcid='"'$PORT'"' >/dev/null
}

# `stop`: as an operator stops it.
stop() {
  kill -TERM "$TARGET"
  local status=0
  wait "$TARGET" || status=$?
  same "the target's exit status" "$status" 0
}

# `connect FLAGS..`: connects with two I/O queues; the first namespace's device is $DEV when this comes back.
connect() {
  nvme connect -t tcp -a 127.0.0.1 -s $PORT -n $NQN --hostnqn=$HOST -i 2 "$@" >/dev/null || fail "nvme connect $*"
  within 60 'the first namespace appears' there 1
  DEV=$(device 1)
  CTRL=$(controller)
}
disconnect() {
  nvme disconnect -n $NQN >/dev/null
  within 60 'the namespace goes' gone 1
}

# `device NSID`: its block device. With native multipath, paths of their own have a c in their names and no node.
device() {
  local name
  for name in /sys/block/nvme*n*; do
    [[ ${name##*/} != *c* && -e $name/nsid && $(<"$name/nsid") == "$1" && -b /dev/${name##*/} ]] || continue
    echo "/dev/${name##*/}"
    return 0
  done
  return 1
}
there() { device "$1" >/dev/null; }
gone() { ! device "$1" >/dev/null; }
# The controller's name in sysfs.
controller() {
  local path
  for path in /sys/class/nvme/nvme*; do
    [[ $(<"$path/subsysnqn") == "$NQN" ]] && echo "${path##*/}" && return 0
  done
  return 1
}
live() { [[ $(<"/sys/class/nvme/$CTRL/state") == live ]]; }

# `field COMMAND NAME`: a value of what nvme prints as `NAME : VALUE`.
field() { nvme "$1" "${@:3}" | awk -F: -v name="$2" '{ key = $1; gsub(/[ \t]/, "", key) } key == name && !n++ { gsub(/[ \t]/, "", $2); print $2 }'; }

# `checksum DEV OFFSET_MIB COUNT_MIB`: read past the page cache.
checksum() { dd if="$1" bs=1M skip="$2" count="$3" iflag=direct status=none | sha256sum | cut -d' ' -f1; }
zeroes() { head -c "$(($1 << 20))" /dev/zero | sha256sum | cut -d' ' -f1; }

# `verified NAME FLAGS..`: fio writes, and reads back what it wrote, comparing checksums.
verified() {
  local name=$1
  shift
  fio --name="$name" --filename="$DEV" --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --do_verify=1 \
    --randrepeat=0 --output-format=terse --output=/run/fio.out "$@" 2>/run/fio.err || fail "fio $name: $(tail -n 12 /run/fio.err /run/fio.out)"
}

# How often the kernel was asked to make one file durable, in any way (fdatasync, AIO, io_uring, a write with RWF_DSYNC): it says so itself.
TRACING=/sys/kernel/tracing
syncs_watch() { # FILE
  [[ -e $TRACING/trace ]] || mount -t tracefs tracefs $TRACING
  echo "ino == $(stat -c %i "$1")" >$TRACING/events/ext4/ext4_sync_file_enter/filter
  echo 1 >$TRACING/events/ext4/ext4_sync_file_enter/enable
}
syncs() { grep -c ext4_sync_file_enter: $TRACING/trace || true; }
