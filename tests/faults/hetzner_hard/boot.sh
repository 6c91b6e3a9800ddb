# The first process of a machine in its rescue system, in new mount, process, host name, network and control group
# namespaces: makes a root in memory, steps into it, and becomes the SSH server. Of this computer's files only /usr is
# there, below an overlay that cannot be made writable; nothing of its other mounts is left. Usage: boot.sh ROOT
set -eu
root=$1
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=128m rescue "$root"
cd "$root"
mkdir -p dev empty etc/ssh mnt opt/lab old proc root/.ssh run/lock run/sshd run/udev/data srv sys tmp usr var/tmp
mount -t overlay -o "lowerdir=$root/empty:/usr" usr usr
for name in bin sbin lib lib32 lib64 libx32; do
    [ ! -L "/$name" ] || cp -a "/$name" "$name"
done
cp /etc/ld.so.cache etc/
cp -a /etc/alternatives etc/
ln -s ../usr/lib/os-release etc/os-release

mount -t proc proc proc
mount -t sysfs -o ro sys sys
mount -t tmpfs block sys/block                                # lsblk lists what is in here: this machine's disks
[ ! -d sys/firmware ] || mount -t tmpfs firmware sys/firmware # it was booted by a BIOS
ln -s /proc/self/fd dev/fd
while read -r name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<NODES
$NODES
NODES

hostname rescue
ip link set lo up
pivot_root . old
export PATH=/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
umount -l /old
rmdir /old
echo ready
read -r go # disks, keys and tools are put in from outside, and the wall is built
[ "$go" = go ]
# No way to make a device node, to drive a disk past the kernel, or to open a file of this computer by its handle.
capabilities=+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+net_bind_service,+sys_chroot,+sys_admin
exec setpriv --bounding-set="-all,$capabilities" --inh-caps=-all /usr/sbin/sshd -D -e
