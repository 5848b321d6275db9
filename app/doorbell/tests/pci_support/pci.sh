# What the guest does with its drives. `fixed` stays, `hot` and `busy` are pulled out, `late` is put in and pulled out. Read by bash, behind what all scripts share.

program() { "$HELPER" --ignored --exact "in_guest::$1" --nocapture --test-threads=1; }
# With the limit that `bind --user --persist` gives from the next login on.
as_nobody_locking() { (ulimit -l unlimited; as_nobody "$@"); }
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }

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
within 60 'the drives are there' ready busy
export ADDRESS
FIXED=$(address fixed)
HOT=$(address hot)
BUSY=$(address busy)
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

# 64 KiB written at 4 MiB by a command of ours, for the kernel to read.
writes() {
  pattern "$1" >/run/pattern
  "$DOORBELL_BIN" nvme passthru "$FIXED" --io -o 1 -n 1 --cdw10 8192 --cdw12 127 --write /run/pattern "${@:2}" >/run/said 2>&1 ||
    fail "not written: $(cat /run/said)"
}

# A mixed load from two reactors, each with a queue pair of its own; everything that is read is compared. `loaded AS.. -- FLAG..`
loaded() {
  local as=()
  while [[ $1 != -- ]]; do
    as+=("$1")
    shift
  done
  "${as[@]}" "$DOORBELL_BIN" nvme perf -r "$FIXED" -c 2 -q 8 -o 16k -w randrw -t 4 --verify --destroy-data --json "${@:2}" >/run/load ||
    fail "the load failed: $(cat /run/load)"
  grep -q '"errors":0,' /run/load || fail "errors: $(cat /run/load)"
  grep -q '"mismatches":0,.*"verified":[1-9]' /run/load || fail "nothing was verified: $(cat /run/load)"
}

# `ticks PID`: hundredths of a second that it has run. `worked PID BEFORE`: a second more than that.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
worked() { (($(ticks "$1") >= $2 + 100)); }

pull_out_under_load() {
  step 'a drive that is pulled out under load'
  "$DOORBELL_BIN" pci bind "$BUSY" "$@"
  local more=()
  [[ $PART == uio ]] && more=(--allow-physical)
  "$DOORBELL_BIN" nvme perf -r "$BUSY" -c 2 -q 8 -w randrw -t 30 --destroy-data "${more[@]}" >/run/load 2>&1 &
  local loading=$! status=0
  within 120 'the load begins' grep -q 'of 4 KiB at depth' /run/load
  within 60 'the load runs' worked "$loading" "$(ticks "$loading")"
  echo '-- pull the busy drive out'
  wait "$loading" || status=$?
  cat /run/load
  same "the load's status" "$status" 1
  grep -q 'requests ended with gone' /run/load || fail 'it does not say that the drive has gone'
  within 60 'the drive has gone' test ! -e "/sys/bus/pci/devices/$BUSY"
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

attached() { rpc bdev_get_bdevs name="HotInNvme${1}n1" >/run/said 2>&1; }
detached() { rpc bdev_get_bdevs >/run/said && ! grep -q HotInNvme /run/said; }
put_in() { # `put_in SERVE_FLAG.. -- HOTPLUG_PARAMETER.. -- BIND_FLAG..`
  step 'drives that are put in while a target serves'
  local flags=() more=()
  while [[ $1 != -- ]]; do flags+=("$1"); shift; done
  shift
  while [[ $1 != -- ]]; do more+=("$1"); shift; done
  shift
  serve "${flags[@]}"
  rpc bdev_nvme_set_hotplug enable=true period_us=100000 "${more[@]}" >/dev/null
  echo '-- put the late drive in'
  within 120 'the kernel has the drive' ready late
  local late
  late=$(address late)
  "$DOORBELL_BIN" pci bind "$late" "$@"
  within 120 'it is attached' attached 0
  grep -q "$late" /run/said || fail "another one was attached: $(cat /run/said)"
  refused 'as HotInNvme0' rpc bdev_nvme_attach_controller name=Own trtype=PCIe traddr="$late" "${more[@]}"
  # What is detached stays so until its driver has let it go: its next name shows that it was not attached in between.
  rpc bdev_nvme_detach_controller name=HotInNvme0 >/dev/null
  "$DOORBELL_BIN" pci unbind "$late"
  within 60 'the kernel has the drive again' ready late
  "$DOORBELL_BIN" pci bind "$late" "$@"
  within 120 'it is attached again' attached 1
  echo '-- pull the late drive out'
  within 120 'its block device goes' detached
  within 60 'the drive has gone' test ! -e "/sys/bus/pci/devices/$late"
  rpc bdev_nvme_set_hotplug enable=false >/dev/null
  stop
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

  step 'loaded from two reactors, as root and as an ordinary user'
  "$DOORBELL_BIN" pci bind "$FIXED" --user nobody
  "$DOORBELL_BIN" nvme identify "$FIXED"
  says 'life used' "$DOORBELL_BIN" nvme log "$FIXED" smart
  loaded --
  refused 'raise it with' as_nobody "$DOORBELL_BIN" nvme identify "$FIXED"
  loaded as_nobody_locking --
  writes doorbell
  says "$FIXED: with the kernel's nvme" "$DOORBELL_BIN" pci unbind "$FIXED"
  within 60 'the kernel has the drive again' ready fixed
  reads doorbell || fail 'the kernel does not read what we wrote'

  step 'formatted'
  "$DOORBELL_BIN" pci bind "$FIXED"
  refused 'add --yes' "$DOORBELL_BIN" nvme format "$FIXED" -n 1 -b 4k
  says 'blocks of 4096 bytes' "$DOORBELL_BIN" nvme format "$FIXED" -n 1 -b 4k --yes
  loaded --
  says 'blocks of 512 bytes' "$DOORBELL_BIN" nvme format "$FIXED" -n 1 -f 0 --yes
  says "$FIXED: with the kernel's nvme" "$DOORBELL_BIN" pci unbind "$FIXED"
  within 60 'the kernel has the drive again' ready fixed

  step 'taken when the machine starts'
  says '/etc/systemd/system/doorbell-pci' "$DOORBELL_BIN" pci bind "$FIXED" --persist --user nobody
  grep -q "^ExecStart=.* pci bind $FIXED --driver vfio-pci --only 1b36:0010 --user \"nobody\"" "/etc/systemd/system/doorbell-pci-$FIXED.service" ||
    fail 'no such unit'
  same "nobody's limit" "$(tail -n 1 /etc/security/limits.d/60-doorbell-nobody.conf)" 'nobody - memlock unlimited'
  says "$FIXED: with the kernel's nvme" "$DOORBELL_BIN" pci unbind "$FIXED" --persist
  [[ ! -e /etc/systemd/system/doorbell-pci-$FIXED.service && ! -e /etc/security/limits.d/60-doorbell-nobody.conf ]] || fail 'it was left'
  within 60 'the kernel has the drive again' ready fixed

  pull_out
  pull_out_under_load
  put_in -- --
}

uio() {
  step 'without an IOMMU'
  says 'IOMMU: none is on' "$DOORBELL_BIN" pci status
  refused '--driver uio_pci_generic' "$DOORBELL_BIN" pci bind "$FIXED"
  same 'its driver' "$(driver "$FIXED")" nvme
  refused 'only vfio-pci devices can be handed to a user' "$DOORBELL_BIN" pci bind "$FIXED" --driver uio_pci_generic --user nobody
  says 'WARNING: nothing stands between it and memory' "$DOORBELL_BIN" pci bind "$FIXED" --driver uio_pci_generic

  step 'driven by physical addresses'
  REFUSAL='--allow-physical' program is_refused || fail 'it is handed out just so'
  export PHYSICAL=1
  REFUSAL='--huge 2M' program is_refused || fail 'ordinary memory is not refused'
  HUGE=1 program drives || fail 'it is not driven'
  refused '--allow-physical' "$DOORBELL_BIN" nvme identify "$FIXED"
  loaded -- --allow-physical
  writes doorbell --allow-physical
  says 'no message interrupts' "$DOORBELL_BIN" pci status
  says "$FIXED: with the kernel's nvme" "$DOORBELL_BIN" pci unbind "$FIXED"
  within 60 'the kernel has the drive again' ready fixed
  reads doorbell || fail 'the kernel does not read what we wrote'

  pull_out --driver uio_pci_generic
  pull_out_under_load --driver uio_pci_generic
  put_in --huge 2M -- allow_physical=true -- --driver uio_pci_generic
}

$PART
step done | sed 's/.*: done/== done/'
