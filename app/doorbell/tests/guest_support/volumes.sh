# A Linux host on volumes: file systems, a snapshot under load, a clone, the server killed, a store filled and emptied. See ../guest_volumes.rs.

STORE=/scratch/vols.img
helper() { "$HELPER" --ignored --exact --nocapture --test-threads=1 "in_guest::$1" >"/run/$1.out" 2>&1; }
volume() { "$DOORBELL_BIN" volume "$@" -s "$SOCK" >/run/volume.out 2>&1 || fail "volume $*: $(</run/volume.out)"; }
serve_volumes() { serve --volume-store "$STORE,size=320M" --nqn $NQN --allow-any-host --listen 127.0.0.1:$PORT; }
# `nsid VOLUME`
nsid() {
  local uuid
  uuid=$(rpc bdev_get_bdevs name="vols/$1" | awk -F'"' '$2 == "uuid" && !n++ { print $4 }')
  rpc nvmf_get_subsystems | awk -F'[":, ]+' -v uuid="$uuid" '$2 == "bdev_name" { mine = $3 == uuid } $2 == "nsid" && mine { print $3 }'
}
# `appears VOLUME`: its block device.
appears() {
  local nsid
  nsid=$(nsid "$1")
  [[ $nsid ]] || fail "$1 is not served"
  within 60 "namespace $nsid, which is $1, appears" there "$nsid"
  device "$nsid"
}
# Free clusters of the store.
free() { rpc bdev_lvol_get_lvstores | awk -F'[":, ]+' '$2 == "free_clusters" { print $3 }'; }
# `files FOLDER`: the checksum of what was written before the snapshot.
files() { (cd "$1" && find data many -type f | sort | xargs sha256sum | sha256sum); }
clean() { fsck.ext4 -fn "$1" >/run/fsck 2>&1 || fail "fsck of $1 finds errors: $(tail -n 5 /run/fsck)"; }

: >"$LOG"
serve_volumes
volume create "$STORE" golden 128M
connect --reconnect-delay=1 --ctrl-loss-tmo=600
same 'the namespace of the first volume' "$(nsid golden)" 1
GOLDEN=$DEV

step 'a file system, and a snapshot of it under load'
mkfs.ext4 -q "$GOLDEN"
mkdir -p /mnt/golden /mnt/clone
mount "$GOLDEN" /mnt/golden
mkdir /mnt/golden/many
dd if=/dev/urandom of=/mnt/golden/data bs=64k count=64 status=none
for n in {1..30}; do echo "file $n" >"/mnt/golden/many/$n"; done
sync
BEFORE=$(files /mnt/golden)
churn() { # FOLDER: files that come and go, until it is told to stop
  local n=0
  while [[ ! -e /run/enough ]]; do
    dd if=/dev/urandom of="$1/churn$((n++ % 8))" bs=16k count=16 conv=fsync status=none || return 1
  done
}
churn /mnt/golden &
CHURN=$!
within 60 'the load goes on' test -e /mnt/golden/churn5
volume snapshot "$STORE" golden golden-1
volume clone "$STORE" golden-1 clone
CLONE=$(appears clone)
# As after a power cut: the journal is replayed, and nothing is amiss.
mount "$CLONE" /mnt/clone
same 'what the clone has' "$(files /mnt/clone)" "$BEFORE"
umount /mnt/clone
clean "$CLONE"

step 'both are mounted and written'
mount "$CLONE" /mnt/clone
echo 'of the clone' >/mnt/clone/many/1
sync -f /mnt/clone
touch /run/enough
wait "$CHURN" || fail 'the load on the golden image failed'
rm /run/enough
same 'what the golden image has' "$(files /mnt/golden)" "$BEFORE"
same 'what was written to the clone' "$(</mnt/clone/many/1)" 'of the clone'

step 'the server is killed under load'
volume create "$STORE" raw 104M
RAW=$(appears raw)
export WRITER_DEVICE=$RAW WRITER_FILE=/scratch/raw.img WRITER_ACKED=/run/acked WRITER_STOP=/run/stop
helper writer &
WRITER=$!
churn /mnt/golden &
CHURN=$!
for round in 1 2; do
  lines=$(wc -l <"$WRITER_ACKED" 2>/dev/null || echo 0)
  more() {
    kill -0 "$WRITER" || fail "the writer ended: $(tail -n 20 /run/writer.out)"
    [[ -e $WRITER_ACKED ]] && (($(wc -l <"$WRITER_ACKED") >= lines + 150))
  }
  within 120 'the writer goes on' more
  echo "flushed before kill $round" >"/mnt/clone/kept$round"
  sync -f /mnt/clone
  step "kill $round, after $(wc -l <"$WRITER_ACKED") acknowledged writes"
  kill -KILL "$TARGET"
  wait "$TARGET" || true
  # Whatever was acknowledged by now is in the store, before anybody recovers it.
  cp "$WRITER_ACKED" /run/acked.now
  "$DOORBELL_BIN" volume check "$STORE" >/run/check 2>&1 || fail "the store that was killed: $(</run/check)"
  "$DOORBELL_BIN" volume export "$STORE" raw /scratch/raw.img --force >/run/export 2>&1 || fail "export: $(</run/export)"
  WRITER_ACKED=/run/acked.now helper checker || fail "lost by kill $round: $(tail -n 20 /run/checker.out)"
  grep checked: /run/checker.out
  serve_volumes
  within 120 'the host reconnects' live
  same 'the device of the volume' "$(appears raw)" "$RAW"
done
within 120 'the writer goes on' more
touch "$WRITER_STOP" /run/enough
wait "$WRITER" || fail "the writer: $(tail -n 20 /run/writer.out)"
wait "$CHURN" || fail 'the load on the golden image failed'
for round in 1 2; do same "what was flushed before kill $round" "$(<"/mnt/clone/kept$round")" "flushed before kill $round"; done
umount /mnt/golden /mnt/clone
clean "$GOLDEN"
clean "$CLONE"

step 'the store is filled to the brim and emptied'
volume create "$STORE" big 1G
BIG=$(appears big)
if dd if=/dev/urandom of="$BIG" bs=1M oflag=direct status=none 2>/run/dd; then fail 'a store of 320 MiB took 1 GiB'; fi
grep -q 'No space left' /run/dd || fail "a full store is told of as: $(</run/dd)"
same 'free clusters of a full store' "$(free)" 0
# Others read as before, and write where they have clusters.
mount "$CLONE" /mnt/clone
same 'what the clone has' "$(</mnt/clone/kept2)" 'flushed before kill 2'
umount /mnt/clone
dd if="$BIG" of=/run/first bs=1M count=1 iflag=direct status=none
dd if=/run/first of="$BIG" bs=1M oflag=direct status=none
volume delete "$STORE" big
within 60 'the namespace goes' test ! -e "$BIG"
(($(free) > 20)) || fail "only $(free) clusters are free after the volume was deleted"
dd if=/dev/urandom of="$RAW" bs=1M count=16 seek=32 oflag=direct status=none
mount "$GOLDEN" /mnt/golden
dd if=/dev/urandom of=/mnt/golden/more bs=1M count=8 conv=fsync status=none
same 'what the golden image has' "$(files /mnt/golden)" "$BEFORE"
umount /mnt/golden
clean "$GOLDEN"
nvme disconnect -n $NQN >/dev/null
stop
"$DOORBELL_BIN" volume check "$STORE" >/run/check 2>&1 || fail "the store that was closed: $(</run/check)"
grep 'nothing is wrong' /run/check
echo '== done'
