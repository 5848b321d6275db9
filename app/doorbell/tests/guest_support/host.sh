# A Linux host on a target that serves a file: discovery, data, identity, namespaces that come and go. See ../guest_nvmf_tcp.rs.

# A file system's life: made, written, checksummed, mounted again, checked.
file_system() {
  mkfs.ext4 -q "$DEV"
  mkdir -p /mnt/ns
  mount "$DEV" /mnt/ns
  dd if=/dev/urandom of=/mnt/ns/data bs=64k count=96 status=none
  mkdir /mnt/ns/many
  for n in {1..50}; do echo "file $n" >"/mnt/ns/many/$n"; done
  sync
  local before after
  before=$(cd /mnt/ns && find data many -type f | sort | xargs sha256sum | sha256sum)
  umount /mnt/ns
  mount "$DEV" /mnt/ns
  after=$(cd /mnt/ns && find data many -type f | sort | xargs sha256sum | sha256sum)
  same 'the checksum of the file system' "$after" "$before"
  umount /mnt/ns
  fsck.ext4 -fn "$DEV" >/dev/null 2>&1 || fail "fsck of $DEV finds errors"
}

# Depths, sizes, mixes. Emulated CPUs allow for little of each.
loads() {
  verified "one-by-one-$1" --rw=randwrite --bs=4k --iodepth=1 --size=1M
  verified "mixed-sizes-$1" --rw=randrw --rwmixread=40 --bsrange=512-64k --blockalign=512 --iodepth=16 --offset=8M --size=6M
  verified "deep-$1" --rw=randwrite --bs=4k --iodepth=128 --iodepth_batch=32 --offset=16M --size=4M
  verified "large-$1" --rw=write --bs=1M --iodepth=4 --offset=32M --size=16M
}

identity() {
  local vwc errors
  vwc=$(field id-ctrl vwc "/dev/$CTRL")
  ((vwc & 1)) || fail "a file is behind the page cache of its file system or disk, yet VWC is $vwc"
  same 'the write cache that Linux sees' "$(<"/sys/block/${DEV#/dev/}/queue/write_cache")" 'write back'
  same 'the serial number' "$(field id-ctrl sn "/dev/$CTRL")" GUEST1
  same 'NSZE' "$(($(field id-ns nsze "$DEV")))" "$((128 << 11))"
  same 'NCAP' "$(($(field id-ns ncap "$DEV")))" "$((128 << 11))"
  grep -q 'lbads:9 .*in use' <<<"$(nvme id-ns "$DEV")" || fail 'blocks are not of 512 bytes'
  same 'the UUID' "$(<"/sys/block/${DEV#/dev/}/uuid")" "$(rpc bdev_get_bdevs name=disk | awk -F'"' '$2 == "uuid" && !n++ { print $4 }')"
  same 'the critical warning' "$(field smart-log critical_warning "/dev/$CTRL")" 0
  same 'the percentage used' "$(field smart-log percentage_used "/dev/$CTRL")" 0%
  # A read beyond the end fails, and is in the error log.
  errors=$(nvme error-log "/dev/$CTRL" | grep -ci 'lba out of range' || true)
  if nvme read "$DEV" -s $((128 << 11)) -c 0 -z 512 -d /dev/null >/run/read 2>&1; then fail 'a read beyond the end succeeded'; fi
  grep -qi 'lba.*out of range\|LBA_RANGE\|Out of Range' /run/read || fail "a read beyond the end: $(</run/read)"
  errors=$(nvme error-log "/dev/$CTRL")
  grep -qi 'out of range\|LBA_RANGE' <<<"$errors" || fail "the error log has nothing of it: ${errors:0:1000}"
}

# Logs, features and properties by nvme-cli, and a controller reset. show-regs is left out: nvme-cli 2.3 asks for registers that fabrics do not
# have and prints freed memory once one is refused.
administration() {
  local writes reads effects
  effects=$(nvme effects-log "/dev/$CTRL" -c 0)
  grep -q '^IOCS1 .*Write.* 00000003$' <<<"$effects" || fail "a Write is not told to change data: $effects"
  grep -q '^IOCS2 .*Read.* 00000001$' <<<"$effects" || fail "a Read is not supported: $effects"
  same 'the version' "$(property 8)" 20000
  same 'the status' "$(property 0x1c)" 1
  same 'the number of queues' "$(feature 7)" 0x00010001
  same 'the write cache' "$(feature 6)" 0x00000001
  nvme set-feature "/dev/$CTRL" -f 0xb -v 0x100 >/dev/null
  same 'the events asked for' "$(feature 0xb)" 0x00000100
  writes=$(field smart-log host_write_commands "/dev/$CTRL")
  reads=$(field smart-log host_read_commands "/dev/$CTRL")
  dd if=/dev/zero of="$DEV" bs=64k seek=1600 count=16 oflag=direct status=none
  dd if="$DEV" of=/dev/null bs=64k skip=1600 count=8 iflag=direct status=none
  # Anything that looks for a file system may read besides.
  same 'writes counted' "$(($(field smart-log host_write_commands "/dev/$CTRL") - writes))" 16
  (($(field smart-log host_read_commands "/dev/$CTRL") - reads >= 8)) || fail 'reads are not counted'
  [[ $(field smart-log DataUnitsWritten "/dev/$CTRL") =~ ^([0-9]+)\( && ${BASH_REMATCH[1]} -ge 3 ]] || fail 'a MiB written is no 3 data units'
  nvme reset "/dev/$CTRL"
  within 60 'the host reconnects after a reset' live
  same 'the number of queues after a reset' "$(<"/sys/class/nvme/$CTRL/queue_count")" 3
  verified after-reset --rw=randwrite --bs=4k --iodepth=8 --offset=100M --size=1M
}
property() { nvme get-property "/dev/$CTRL" -o "$1" | sed 's/.*value: //'; }
feature() { nvme get-feature "/dev/$CTRL" -f "$1" | sed 's/.*Current value: *//'; }

# Flush, discard, write zeroes, compare: what they touch and what they leave alone.
other_commands() {
  local before sum
  dd if=/dev/urandom of="$DEV" bs=1M seek=64 count=8 oflag=direct status=none
  before=$(checksum "$DEV" 64 2)
  sum=$(checksum "$DEV" 68 4)
  nvme flush "$DEV" -n 1 >/dev/null
  # 1 MiB of zeroes at 66 MiB, and 1 MiB discarded at 67 MiB.
  nvme write-zeroes "$DEV" -n 1 -s $((66 << 11)) -c 2047 >/dev/null
  same 'what was zeroed' "$(checksum "$DEV" 66 1)" "$(zeroes 1)"
  local blocks
  blocks=$(stat -c %b /scratch/disk.img)
  blkdiscard -o $((67 << 20)) -l $((1 << 20)) "$DEV"
  grep -q '^dlfeat *: *\(1\|9\)$' <<<"$(nvme id-ns "$DEV")" || fail "DLFEAT does not say that discarded blocks read as zeroes: $(field id-ns dlfeat "$DEV")"
  same 'what was discarded' "$(checksum "$DEV" 67 1)" "$(zeroes 1)"
  (($(stat -c %b /scratch/disk.img) <= blocks - 2048)) || fail "the file has $(stat -c %b /scratch/disk.img) blocks after a discard of 2048, $blocks before"
  blkdiscard -z -o $((70 << 20)) -l $((1 << 20)) "$DEV"
  same 'what was zeroed through the block layer' "$(checksum "$DEV" 70 1)" "$(zeroes 1)"
  same 'what lies before' "$(checksum "$DEV" 64 2)" "$before"
  blkdiscard -z -o $((70 << 20)) -l $((1 << 20)) "$DEV"
  same 'the file itself' "$(dd if=/scratch/disk.img bs=1M skip=64 count=2 iflag=direct status=none | sha256sum | cut -d' ' -f1)" "$before"
  # Compare: as the blocks are, and otherwise.
  dd if="$DEV" of=/run/block bs=4k skip=$((64 << 8)) count=1 iflag=direct status=none
  nvme compare "$DEV" -s $((64 << 11)) -c 7 -z 4096 -d /run/block >/run/compare 2>&1 || fail "equal blocks compare as: $(</run/compare)"
  # More than one byte: a random one may be that already.
  printf doorbell | dd of=/run/block bs=1 seek=4000 conv=notrunc status=none
  if nvme compare "$DEV" -s $((64 << 11)) -c 7 -z 4096 -d /run/block >/run/compare 2>&1; then fail 'unequal blocks compare as equal'; fi
  grep -qi compare /run/compare || fail "unequal blocks compare as: $(</run/compare)"
}

# A namespace comes, works, goes, while another is under load on the same connection.
namespaces() {
  local first=$DEV second
  DEV=$first verified background --rw=randrw --bs=4k --iodepth=8 --offset=96M --size=8M --time_based=0 --output=/run/background.out &
  local background=$!
  rpc bdev_malloc_create name=second num_blocks=8192 block_size=4096 >/dev/null
  rpc nvmf_subsystem_add_ns nqn=$NQN namespace.bdev_name=second namespace.nsid=2 >/dev/null
  within 60 'the second namespace appears' there 2
  second=$(device 2)
  same 'the blocks of the second namespace' "$(blockdev --getss "$second")" 4096
  DEV=$second verified second --rw=randwrite --bs=16k --iodepth=4 --size=2M
  rpc nvmf_subsystem_remove_ns nqn=$NQN nsid=2 >/dev/null
  within 60 'the second namespace goes' gone 2
  rpc bdev_malloc_delete name=second >/dev/null
  wait "$background" || fail "the load beside it: $(tail -n 12 /run/background.out)"
  DEV=$first
}

resized() {
  truncate -s 160M /scratch/disk.img
  rpc bdev_aio_rescan name=disk >/dev/null
  within 60 'the host sees the new size' grown
  verified beyond --rw=write --bs=64k --iodepth=4 --offset=150M --size=1M
}
grown() { [[ $(blockdev --getsz "$DEV") == $((160 << 11)) ]]; }

: >"$LOG"
serve --empty
configure bdev_aio_create fallocate=true

step discover
nvme discover -t tcp -a 127.0.0.1 -s $PORT --hostnqn=$HOST >/run/discovery
grep -q "subnqn: *$NQN\$" /run/discovery || fail "the discovery log has not the subsystem: $(</run/discovery)"
grep -q "trsvcid: *$PORT\$" /run/discovery || fail "the discovery log has not the port: $(</run/discovery)"

step 'connect, two I/O queues, no digests'
connect
same 'the number of queues' "$(<"/sys/class/nvme/$CTRL/queue_count")" 3
step identity
identity
step 'logs, features, a reset'
administration
step 'a file system'
file_system
step 'loads'
loads plain
step 'flush, write zeroes, discard, compare'
other_commands
step 'a namespace comes and goes under load'
namespaces
step 'the file grows while the host is connected'
resized
step disconnect
disconnect

# The host refuses a target that does not agree to the digests it asks for.
step 'connect, two I/O queues, header and data digests'
connect --hdr-digest --data-digest
step 'a file system'
file_system
step loads
loads digests
step 'flush, write zeroes, discard, compare'
other_commands
disconnect

step 'the target stops'
stop
[[ ! -e $SOCK ]] || fail 'the socket is left behind'
if grep -w ERROR "$LOG"; then fail 'the log has errors'; fi
echo '== done'
