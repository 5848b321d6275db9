# Linux's target with a file of 64 MiB behind two subsystems, one for any host, one for nobody; and our controllers on it.

NQN=nqn.2026-11.io.doorbell:nvmet
CLOSED=nqn.2026-11.io.doorbell:closed
NVMET=/sys/kernel/config/nvmet
AT="trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:4420"

truncate -s 64M /scratch/disk.img
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config

port() {
  mkdir "$NVMET/ports/1"
  echo tcp >"$NVMET/ports/1/addr_trtype"
  echo ipv4 >"$NVMET/ports/1/addr_adrfam"
  echo 127.0.0.1 >"$NVMET/ports/1/addr_traddr"
  echo 4420 >"$NVMET/ports/1/addr_trsvcid"
  local nqn
  for nqn in "$NQN" "$CLOSED"; do
    ln -s "$NVMET/subsystems/$nqn" "$NVMET/ports/1/subsystems/$nqn"
  done
}
no_port() {
  rm "$NVMET"/ports/1/subsystems/*
  rmdir "$NVMET/ports/1"
}
for nqn in "$NQN" "$CLOSED"; do
  mkdir "$NVMET/subsystems/$nqn" "$NVMET/subsystems/$nqn/namespaces/1"
  echo -n /scratch/disk.img >"$NVMET/subsystems/$nqn/namespaces/1/device_path"
  echo 1 >"$NVMET/subsystems/$nqn/namespaces/1/enable"
done
echo 1 >"$NVMET/subsystems/$NQN/attr_allow_any_host"
port

judge() {
  grep -q '"errors":0,' /run/load || fail "errors: $(cat /run/load)"
  grep -q '"mismatches":0,.*"verified":[1-9]' /run/load || fail "nothing was verified: $(cat /run/load)"
}
# `load SECONDS FLAG..`
load() {
  "$DOORBELL_BIN" nvme perf -r "$AT subnqn:$NQN" -c 2 -q 8 -o 16k -w randrw --verify --destroy-data --json -t "$@" >/run/load
}

step 'discovery'
"$DOORBELL_BIN" nvme discover "$AT" | tee /run/said
grep -q "$NQN" /run/said || fail 'the subsystem is not found'
grep -q "$CLOSED" /run/said && fail 'a host is told what it may not use'
"$DOORBELL_BIN" nvme identify "$AT subnqn:$NQN"

for flags in '' -H -I '-H -I'; do
  step "a verified load with flags: ${flags:-none}"
  # shellcheck disable=SC2086
  load 2 $flags || fail "the load failed: $(cat /run/load)"
  judge
done

step 'the target goes and comes back under load'
# Segments that TCP has sent, of all that goes on in this guest.
sent() { awk '$1 == "Tcp:" && $12 ~ /^[0-9]+$/ { print $12 }' /proc/net/snmp; }
# No connection to port 4420 is there, nor one that its host has not closed yet.
unconnected() { awk '($2 ~ /:1144$/ || $3 ~ /:1144$/) && ($4 == "01" || $4 == "08") { n++ } END { exit n > 0 }' /proc/net/tcp; }
sent_since() { (($(sent) >= $1 + 1000)); }
load 15 -H -I 2>/run/log &
LOADING=$!
within 60 'the load runs' sent_since "$(sent)"
no_port
within 60 'the host has seen it' unconnected
port
wait "$LOADING" || fail "the load failed: $(cat /run/load /run/log)"
judge

step 'refusals'
refused 'nqn.2026-11.io.doorbell:nobody' "$DOORBELL_BIN" nvme identify "$AT subnqn:nqn.2026-11.io.doorbell:nobody"
cat /run/said
refused 'may not connect' "$DOORBELL_BIN" nvme identify "$AT subnqn:$CLOSED"
cat /run/said
refused '4421' "$DOORBELL_BIN" nvme identify "trtype:TCP traddr:127.0.0.1 trsvcid:4421 subnqn:$NQN"
cat /run/said

step done | sed 's/.*: done/== done/'
