# What the guest does with its drives. `fixed` stays, `hot` is pulled out. Read by bash, behind what all scripts share.

program() { "$HELPER" --ignored --exact "in_guest::$1" --nocapture --test-threads=1; }
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }

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

# By serial number: a drive's address, and its disk.
address() {
  local path
  for path in /sys/class/nvme/nvme*; do
    [[ $(tr -d ' ' <"$path/serial") == "$1" ]] && basename "$(readlink -f "$path/device")" && return 0
  done
  return 1
}
disk() {
  local path
  for path in /sys/class/nvme/nvme*; do
    [[ $(tr -d ' ' <"$path/serial") == "$1" ]] && echo "/dev/${path##*/}n1" && return 0
  done
  return 1
}
ready() { local node; node=$(disk "$1") && [[ -b $node ]]; }
driver() { basename "$(readlink "/sys/bus/pci/devices/$1/driver")"; }
pattern() { printf '%65536s' "$1"; }
reads() { cmp -s <(dd if="$(disk fixed)" bs=64k skip=64 count=1 iflag=direct status=none) <(pattern "$1"); }

modprobe nvme
within 60 'the drives are there' ready fixed
within 60 'the drives are there' ready hot
export ADDRESS
FIXED=$(address fixed)
HOT=$(address hot)
ADDRESS=$FIXED

step 'doorbell pci list'
"$DOORBELL_BIN" pci list
"$DOORBELL_BIN" pci list | grep -E "$FIXED +1b36:0010 +NVMe +nvme .*nvme[0-9]n1 32.*nothing" >/dev/null || fail 'the drive is not listed'
says '"kind": "NVMe"' "$DOORBELL_BIN" pci list --json

step 'what is in use stays'
NODE=$(disk fixed)
mkfs.ext4 -q "$NODE"
mkdir -p /mnt/drive
mount "$NODE" /mnt/drive
refused "${NODE#/dev/} is mounted at /mnt/drive" "$DOORBELL_BIN" pci bind "$FIXED"
umount /mnt/drive
refused "${NODE#/dev/} carries an ext file system" "$DOORBELL_BIN" pci bind "$FIXED"
same 'its driver' "$(driver "$FIXED")" nvme
dd if=/dev/zero of="$NODE" bs=1M count=1 conv=fsync status=none
pattern kernel | dd of="$NODE" bs=64k seek=64 oflag=direct status=none

holds() { # the background program's output is in /run/holds
  "$HELPER" --ignored --exact in_guest::holds --nocapture --test-threads=1 >/run/holds 2>&1 &
  HOLDER=$!
  within 60 'the program holds the drive' grep -q -e '-- holds' /run/holds
}

pull_out() {
  step 'a drive that is pulled out'
  ADDRESS=$HOT
  "$DOORBELL_BIN" pci bind "$HOT" "$@"
  holds
  echo '-- pull the drive out'
  local status=0
  wait "$HOLDER" || status=$?
  cat /run/holds
  same "the program's status" "$status" 0
  within 60 'the drive has gone' test ! -e "/sys/bus/pci/devices/$HOT"
}

vfio() {
  step 'taken, and driven as root'
  refused 'doorbell pci bind' program drives
  says 'taken from nvme, with vfio-pci now' "$DOORBELL_BIN" pci bind "$FIXED" --only 1b36:0010
  same 'its driver' "$(driver "$FIXED")" vfio-pci
  program drives || fail 'it is not driven as root'

  step 'driven by an ordinary user'
  refused '--user NAME' as_nobody "$HELPER" --ignored --exact in_guest::drives --nocapture
  says 'belongs to nobody now' "$DOORBELL_BIN" pci bind "$FIXED" --user nobody
  as_nobody "$HELPER" --ignored --exact in_guest::drives --nocapture || fail 'it is not driven by nobody'
  (ulimit -l 3072; REFUSAL='the limit on locked memory is 3072 KiB' as_nobody "$HELPER" --ignored --exact in_guest::is_refused --nocapture) ||
    fail 'the limit is not told'

  step 'what a program that was killed leaves behind'
  holds
  refused "(process $HOLDER) has it open" "$DOORBELL_BIN" pci unbind "$FIXED"
  kill -KILL "$HOLDER"
  wait "$HOLDER" || true
  "$DOORBELL_BIN" pci status
  says "Taken and used by nobody: $FIXED" "$DOORBELL_BIN" pci status
  says "$FIXED: with the kernel's nvme" "$DOORBELL_BIN" pci reset
  within 60 'the kernel has the drive again' ready fixed
  reads kernel || fail 'the kernel does not read what it wrote'

  step 'taken when the machine starts'
  says '/etc/systemd/system/doorbell-pci' "$DOORBELL_BIN" pci bind "$FIXED" --persist --user nobody
  grep -q "^ExecStart=.* pci bind $FIXED --driver vfio-pci --only 1b36:0010 --user \"nobody\"" "/etc/systemd/system/doorbell-pci-$FIXED.service" ||
    fail 'no such unit'
  same "nobody's limit" "$(tail -n 1 /etc/security/limits.d/60-doorbell-nobody.conf)" 'nobody - memlock unlimited'
  says "$FIXED: with the kernel's nvme" "$DOORBELL_BIN" pci unbind "$FIXED" --persist
  [[ ! -e /etc/systemd/system/doorbell-pci-$FIXED.service && ! -e /etc/security/limits.d/60-doorbell-nobody.conf ]] || fail 'it was left'
  within 60 'the kernel has the drive again' ready fixed

  pull_out
}

uio() {
  step 'without an IOMMU'
  says 'IOMMU: none is on' "$DOORBELL_BIN" pci status
  refused '--driver uio_pci_generic' "$DOORBELL_BIN" pci bind "$FIXED"
  same 'its driver' "$(driver "$FIXED")" nvme
  refused 'only vfio-pci devices can be handed to a user' "$DOORBELL_BIN" pci bind "$FIXED" --driver uio_pci_generic --user nobody
  says 'WARNING: nothing stands between it and memory' "$DOORBELL_BIN" pci bind "$FIXED" --driver uio_pci_generic

  step 'driven by physical addresses'
  REFUSAL='allow physical addresses' program is_refused || fail 'it is handed out just so'
  export PHYSICAL=1
  REFUSAL='--huge 2M' program is_refused || fail 'ordinary memory is not refused'
  HUGE=1 program drives || fail 'it is not driven'
  says 'no message interrupts' "$DOORBELL_BIN" pci status
  says "$FIXED: with the kernel's nvme" "$DOORBELL_BIN" pci unbind "$FIXED"
  within 60 'the kernel has the drive again' ready fixed
  reads kernel || fail 'the kernel does not read what it wrote'

  pull_out --driver uio_pci_generic
}

$PART
step done | sed 's/.*: done/== done/'
