#!/bin/sh
# Makes the root file system and the network of a machine of its own for an init, and starts that init in it:
# set-up.sh FOLDER ADDRESS PROGRAM [ARGUMENT ...], in new namespaces. FOLDER has what machine.ts has put there:
#   packages/  Debian packages, unpacked         files/  what is laid over the root at the end
#   empty      folders that are to be empty      shared  folders that are this machine's own
#   cgroups    the hierarchies: NAME TYPE OPTIONS
# Everything that is made here is in these namespaces, and ends with them.
set -eu
folder=$1
address=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$folder/scratch"
mkdir "$folder/scratch/packages" "$folder/scratch/upper" "$folder/scratch/work"
# A layer of an overlay may not lie within another one.
cp -a "$folder/packages/." "$folder/scratch/packages"
mount -t overlay -o "lowerdir=$folder/scratch/packages:/,upperdir=$folder/scratch/upper,workdir=$folder/scratch/work" \
	overlay "$folder/root"
cd "$folder/root"

mount -t proc -o nosuid,nodev,noexec proc proc
# What is there belongs to the whole machine, and systemd raises some of it.
mount --bind proc/sys/fs proc/sys/fs
mount -o remount,bind,ro proc/sys/fs
mount -t sysfs -o nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for name in null zero full random urandom tty kmsg fuse loop-control; do
	[ ! -e "/dev/$name" ] || cp -a "/dev/$name" dev/
done
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mkdir run/lock
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs var/log

while read -r name; do
	mkdir -p "./$name"
	mount -t tmpfs -o mode=755 tmpfs "./$name"
done <"$folder/empty"
while read -r from to; do
	mkdir -p "./$to"
	mount --bind "$from" "./$to"
done <"$folder/shared"
cp -a "$folder/files/." .

if [ "$(wc -l <"$folder/cgroups")" = 1 ]; then
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
else
	mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs sys/fs/cgroup
	while read -r name type options; do
		mkdir "sys/fs/cgroup/$name"
		mount -t "$type" -o "nosuid,nodev,noexec${options:+,$options}" "$type" "sys/fs/cgroup/$name"
	done <"$folder/cgroups"
fi

ip link set lo up
# The other end leads nowhere.
ip link add eth0 type veth peer name uplink
ip address add "$address/24" dev eth0
ip link set uplink up
ip link set eth0 up
ip route add default dev eth0
hostname tried-init

pivot_root . mnt
umount -l /mnt
exec "$@"
