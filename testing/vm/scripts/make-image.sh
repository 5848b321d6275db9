#!/bin/bash
# make-image.sh CACHE: puts into CACHE what a guest boots from: vmlinux, initrd.gz, and modules/ (a tree as `modprobe -d` wants it).
#
# There is no disk image. The guest's root is the host's own file system, shared read-only by 9p under a layer in memory, so every
# program of the host is in the guest under the same path. All it takes is a kernel: Debian's, fetched and unpacked, never installed.
# The kernel is taken out of its compressed file, since emulated CPUs need longer to unpack it than to boot it.
#
# Running it again does nothing until one of these scripts changes. DOORBELL_VM_KERNEL=FILE.deb uses that package instead of asking apt.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
cache=$1
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "make-image: $*" >&2; }
die() { say "$@"; exit 1; }

for program in cpio:cpio depmod:kmod xz:xz-utils dpkg-deb:dpkg busybox:busybox-static; do
  command -v "${program%%:*}" >/dev/null || die "no ${program%%:*}: apt-get install ${program##*:}"
done

mkdir -p "$cache"
cd "$cache"
version=$(cat "$here/make-image.sh" "$here/guest-init.sh" | sha256sum | cut -c1-16)
[ "$(cat stamp 2>/dev/null)" = "$version" ] && exit 0
rm -rf stamp modules initramfs

# 1. The kernel package: the one that Debian's amd64 flavour points to. (The cloud flavour has neither 9p nor RDMA.)
package=${DOORBELL_VM_KERNEL:-}
if [ -z "$package" ]; then
  name=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$name" ] || die "apt knows no linux-image-amd64: apt-get update (or give a package in DOORBELL_VM_KERNEL)"
  package=$(find "$cache" -maxdepth 1 -name "${name}_*.deb" | sort | tail -n 1)
  if [ -z "$package" ]; then
    say "fetching $name"
    apt-get -qq download "$name" 2>apt.log || die "apt-get download $name: $(tail -n 2 apt.log) (apt-get update?)"
    package=$(find "$cache" -maxdepth 1 -name "${name}_*.deb" | sort | tail -n 1)
  fi
fi

# 2. Its modules, less what no storage test loads.
mkdir modules
dpkg-deb --fsys-tarfile "$package" | tar -x -C modules \
  --exclude='*/drivers/gpu' --exclude='*/drivers/media' --exclude='*/drivers/iio' --exclude='*/drivers/staging' \
  --exclude='*/drivers/net/wireless' --exclude='*/sound'
[ -d modules/lib/modules ] || ln -s usr/lib modules/lib
release=$(ls modules/lib/modules)
depmod -b modules "$release"

# 3. The kernel itself. A bzImage says in its header where its payload lies (Documentation/arch/x86/boot.rst, payload_offset).
image=modules/boot/vmlinuz-$release
number() { od -An -v -t "u$1" -j "$2" -N "$1" "$image" | tr -d ' '; }
sectors=$(number 1 0x1f1)
start=$(((${sectors/#0/4} + 1) * 512 + $(number 4 0x248)))
length=$(number 4 0x24c)
payload() { dd if="$image" iflag=skip_bytes,count_bytes skip="$start" count="$length" bs=1M status=none; }
magic=$(od -An -v -t x1 -j "$start" -N 4 "$image" | tr -d ' ')
case $magic in
  # The four bytes after the stream give its size; the programs call them garbage.
  fd377a58) payload | xz -dc --single-stream >vmlinux ;;
  28b52ffd) payload | head -c -4 | zstd -qdc >vmlinux ;;
  02214c18) payload | head -c -4 | lz4 -qdc >vmlinux ;;
  1f8b*) payload | gzip -qdc >vmlinux || true ;;
  *) die "$image is packed in a way not known here (it begins with $magic)" ;;
esac
[ "$(od -An -t x1 -N 4 vmlinux | tr -d ' ')" = 7f454c46 ] || die "no kernel came out of $image"

# 4. The initramfs: busybox, our init, and the modules that reach the host's files, in the order in which they load.
mkdir -p initramfs/bin initramfs/modules
busybox=$(command -v busybox)
cp "$busybox" initramfs/bin/busybox
if ldd "$busybox" >/dev/null 2>&1; then die "$busybox is not static: apt-get install busybox-static"; fi
install -m 755 "$here/guest-init.sh" initramfs/init
for module in virtio_pci 9pnet_virtio 9p overlay; do
  modprobe -d "$cache/modules" -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' | while read -r file; do
  cp "$file" initramfs/modules/
  basename "$file" >>initramfs/modules/order
done
(cd initramfs && find . | cpio --quiet -o -H newc | gzip -1) >initrd.gz
rm -rf initramfs modules/boot
echo "$version" >stamp
say "$release, $(du -sm modules | cut -f1) MB of modules"
