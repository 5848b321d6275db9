#!/bin/bash
# probe-kvm.sh: prints `kvm` where hardware virtualisation can really run an ordinary guest, else `tcg` and the reason on stderr.
#
# That /dev/kvm opens and QEMU calls KVM enabled proves nothing: on a host that is itself a guest without nested VMX or SVM, KVM may
# interpret the guest's kernel instruction by instruction, and it never finishes booting. So look at what the CPU offers, then time a
# fixed piece of work: a boot sector that counts down from 300 million and leaves through QEMU's debug-exit port. Hardware needs
# less than a second, emulation two to three, an interpreter minutes.
set -u

tcg() { echo tcg; echo "probe-kvm: $*" >&2; exit 0; }

[ -r /dev/kvm ] && [ -w /dev/kvm ] || tcg "/dev/kvm is not accessible"
grep -qwE 'vmx|svm' /proc/cpuinfo || tcg "the CPU offers neither vmx nor svm"
sector=$(mktemp) || exit 1
trap 'rm -f "$sector"' EXIT
# cli; mov ecx, 300000000; count: dec ecx; jnz count; mov dx, 0xf4; mov al, 0x2a; out dx, al; hlt
printf '\xfa\x66\xb9\x00\xa3\xe1\x11\x66\x49\x75\xfc\xba\xf4\x00\xb0\x2a\xee\xf4' >"$sector"
truncate -s 510 "$sector"
printf '\x55\xaa' >>"$sector"
timeout -k 1 4 qemu-system-x86_64 -accel kvm -cpu host -m 64 -nodefaults -display none -no-reboot \
  -device isa-debug-exit,iobase=0xf4,iosize=1 -drive "file=$sector,format=raw,if=ide" </dev/null >/dev/null 2>&1
status=$?
# The port doubles what is written and adds one.
[ "$status" = $((0x2a * 2 + 1)) ] || tcg "a fixed loop did not end in 4 s under KVM (status $status)"
echo kvm
