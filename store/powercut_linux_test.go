package store_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vennel/vennel/store"
)

// A power cut is played on an ext4 file system in a loop-mounted file: its shutdown ioctl without a flush of the log drops what has not reached the
// disk, as file systems' own tests do. Killing a process alone proves little, for the kernel keeps what it wrote.

// TestPowerCut cuts the power in bursts of writes: nothing acknowledged is lost.
func TestPowerCut(t *testing.T) {
	onPrivateDisk(t, func(dir string) {
		for round := range 20 {
			missing, total := powerCut(t, dir, "FULL")
			t.Logf("round %d: %d acknowledged, %d lost", round+1, total, missing)
			if missing > 0 {
				t.Errorf("%d of %d acknowledged steps are lost", missing, total)
			}
		}
	})
}

// TestPowerCutBites shows that the method finds what it is to find: with SQLite's synchronous NORMAL, acknowledged steps are lost.
func TestPowerCutBites(t *testing.T) {
	onPrivateDisk(t, func(dir string) {
		for round := range 20 {
			missing, total := powerCut(t, dir, "NORMAL")
			t.Logf("round %d: %d acknowledged, %d lost", round+1, total, missing)
			if missing > 0 {
				return
			}
		}
		t.Error("nothing was lost without synchronous FULL, so the method proves nothing")
	})
}

// onPrivateDisk calls test, in a process with a mount namespace of its own, with a folder in which a file system to cut is mounted.
func onPrivateDisk(t *testing.T, test func(dir string)) {
	t.Helper()
	if os.Getenv("VENNEL_SOAK") != "1" {
		t.Skip("SKIPPED: VENNEL_SOAK=1 is not in the environment")
	}
	cannot := t.Skipf
	if os.Getenv("REQUIRE") == "1" {
		cannot = t.Fatalf
	}
	if os.Geteuid() != 0 {
		cannot("POWER CUTS NOT TESTED: not root")
	}
	dir := os.Getenv("VENNEL_TEST_DISK")
	if dir == "" {
		self, err := os.Executable()
		must(t, err)
		cmd := exec.Command(self, "-test.v", "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "VENNEL_TEST_DISK="+t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		switch {
		case err != nil:
			t.Fatalf("%v\n%s", err, out)
		case strings.Contains(string(out), "--- SKIP"):
			t.Skipf("%s", out)
		}
		t.Logf("%s", out)
		return
	}
	image := filepath.Join(dir, "image")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 512<<20))
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		cannot("POWER CUTS NOT TESTED: mkfs.ext4: %v\n%s", err, out)
	}
	must(t, os.Mkdir(filepath.Join(dir, "disk"), 0o700))
	if out, err := mount(dir); err != nil {
		cannot("POWER CUTS NOT TESTED: mount: %v\n%s", err, out)
	}
	defer unmount(t, dir)
	test(dir)
}

// mount mounts the image.
func mount(dir string) (string, error) {
	out, err := exec.Command("mount", "-o", "loop", filepath.Join(dir, "image"), filepath.Join(dir, "disk")).CombinedOutput()
	return string(out), err
}

// unmount is the reverse of mount.
func unmount(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("umount", filepath.Join(dir, "disk")).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v\n%s", err, out)
	}
}

// powerCut cuts the power in a burst of writes to a fresh database and returns how many of the acknowledged steps are lost.
func powerCut(t *testing.T, dir, synchronous string) (missing, total int) {
	t.Helper()
	disk := filepath.Join(dir, "disk")
	address := "sqlite://" + filepath.Join(disk, "vennel.db")
	db, err := store.Open(t.Context(), address, nil)
	must(t, err)
	must(t, do(t.Context(), db, crashTables...))
	must(t, do(t.Context(), db, `DELETE FROM last`, `DELETE FROM steps`))
	must(t, db.Close())
	// After a real cut nobody hears anything. Here the kernel may still answer an fsync that was under way with success, though its journal is gone:
	// what is heard after the beginning of the cut does not count.
	var cut atomic.Bool
	acked, total := burst(t, address, synchronous, 1, &cut, func(cmd *exec.Cmd) {
		cut.Store(true)
		if err := shutdown(disk); err != nil {
			t.Errorf("shut the file system down: %v", err)
		}
		time.AfterFunc(time.Second, func() { // The writers end by themselves when the disk is gone.
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		})
	})
	unmount(t, dir)
	if out, err := mount(dir); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	db, err = store.Open(t.Context(), address, nil)
	must(t, err)
	missing = lost(t, db, acked, 1)
	must(t, db.Close())
	return missing, total
}

// shutdown is ext4's ioctl EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
func shutdown(disk string) error {
	const ioctl, noLogFlush = 0x8004587d, 2
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it is only read
	flags := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ioctl, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return errno
	}
	return nil
}
