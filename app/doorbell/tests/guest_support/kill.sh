# The target is killed under load and started again; no acknowledged write may be lost. See ../guest_nvmf_tcp.rs.

helper() { "$HELPER" --ignored --exact --nocapture --test-threads=1 "in_guest::$1" >"/run/$1.out" 2>&1; }

: >"$LOG"
serve --empty
configure bdev_aio_create
# What SPDK's client makes of save_config.
printf '{"subsystems": [{"subsystem": "bdev", "config": %s}, {"subsystem": "nvmf", "config": %s}]}' \
  "$(rpc framework_get_config name=bdev)" "$(rpc framework_get_config name=nvmf)" >/run/config.json
connect --reconnect-delay=1 --ctrl-loss-tmo=600
export WRITER_DEVICE=$DEV WRITER_FILE=/scratch/disk.img WRITER_ACKED=/run/acked WRITER_STOP=/run/stop

step 'load'
helper writer &
WRITER=$!
verified through-the-kills --rw=randwrite --bsrange=4k-32k --iodepth=16 --size=16M --rate_iops=50 &
FIO=$!
for round in 1 2 3; do
  lines=$(wc -l <"$WRITER_ACKED" 2>/dev/null || echo 0)
  more() {
    kill -0 "$WRITER" || fail "the writer ended: $(tail -n 20 /run/writer.out)"
    [[ -e $WRITER_ACKED ]] && (($(wc -l <"$WRITER_ACKED") >= lines + 150))
  }
  within 120 'the writer goes on' more
  step "kill $round, after $(wc -l <"$WRITER_ACKED") acknowledged writes"
  kill -KILL "$TARGET"
  wait "$TARGET" || true
  # Whatever was acknowledged by now is on the file, before anything is sent again.
  cp "$WRITER_ACKED" /run/acked.now
  WRITER_ACKED=/run/acked.now helper checker || fail "lost by kill $round: $(tail -n 20 /run/checker.out)"
  grep checked: /run/checker.out
  serve --json /run/config.json
  within 120 'the host reconnects' live
done
within 120 'the writer goes on' more
touch "$WRITER_STOP"
wait "$WRITER" || fail "the writer: $(tail -n 20 /run/writer.out)"
step 'fio verifies what it wrote'
wait "$FIO" || fail 'fio did not find what it wrote'
helper checker || fail "lost at the end: $(tail -n 20 /run/checker.out)"
grep checked: /run/checker.out
disconnect
helper checker || fail "lost after all: $(tail -n 20 /run/checker.out)"
stop
echo '== done'
