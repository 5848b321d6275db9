# A flush of the host is a flush of the file, for each engine. The kernel under the target counts. See ../guest_nvmf_tcp.rs.

# `counted WHAT LEAST COMMAND..`: the file is synced at least so often while the command runs.
counted() {
  local what=$1 least=$2 before after
  shift 2
  before=$(syncs)
  "$@" >/dev/null
  after=$(syncs)
  echo "$what: $((after - before)) syncs of the file"
  ((after - before >= least)) || fail "$what: $((after - before)) syncs of the file, not $least"
}
flushes() { for n in 1 2 3 4 5; do nvme flush "$DEV" -n 1; done; }
fsyncs() { dd if=/dev/urandom of="$DEV" bs=64k count=4 conv=fsync,notrunc status=none; }
# Linux sends these with FUA.
synchronous() { dd if=/dev/urandom of="$DEV" bs=4k count=7 oflag=direct,dsync conv=notrunc status=none; }
plain() { dd if=/dev/urandom of="$DEV" bs=4k count=50 oflag=direct conv=notrunc status=none; }

: >"$LOG"
for method in bdev_aio_create bdev_uring_create; do
  step "$method"
  serve --empty
  configure $method
  syncs_watch /scratch/disk.img
  connect
  counted 'five flushes' 5 flushes
  counted 'one fsync' 1 fsyncs
  counted 'seven writes with FUA' 7 synchronous
  # Otherwise the counts above would say nothing: writes alone must not sync.
  before=$(syncs)
  plain
  same 'the syncs of fifty plain writes' "$(($(syncs) - before))" 0
  disconnect
  stop
  rm /scratch/disk.img
done
echo '== done'
