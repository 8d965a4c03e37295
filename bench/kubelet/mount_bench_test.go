package mount

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kubelet does for a read-only subPath and for a secret, and takes
// away again. KUBELET_MOUNT_BY chooses how.
func BenchmarkMounts(b *testing.B) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		b.Fatal(err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		b.Fatal(err)
	}
	source, target := b.TempDir(), b.TempDir()
	if os.Getenv(mountByEnvironment) == "" {
		b.Fatalf("%s is not set", mountByEnvironment)
	}
	mounter := New("")
	for _, kind := range []struct {
		name, source, fstype string
		options              []string
	}{
		{"bind", source, "", []string{"bind", "ro"}},
		{"tmpfs", "tmpfs", "tmpfs", nil},
	} {
		kind := kind
		b.Run(kind.name, func(b *testing.B) {
			runtime.LockOSThread()
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				b.Fatal(err)
			}
			for i := 0; i < b.N; i++ {
				if err := mounter.Mount(kind.source, target, kind.fstype, kind.options); err != nil {
					b.Fatal(err)
				}
				if err := mounter.Unmount(target); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
