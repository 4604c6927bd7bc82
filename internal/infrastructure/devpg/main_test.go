package devpg_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// bindirVariable makes every test, and every process it starts, use the same local binaries.
const bindirVariable = "PROFILE_PG_BINDIR"

// TestMain is also the main of the processes that the tests start: see process_test.go.
func TestMain(m *testing.M) {
	if dir := os.Getenv(dockerEnv); dir != "" {
		os.Exit(dockerMain(dir, os.Args[1:]))
	}
	if raw := os.Getenv(processEnv); raw != "" {
		os.Exit(processMain(raw))
	}
	diskDir = os.TempDir()
	if memory := "/dev/shm"; roomy(memory) {
		_ = os.Setenv("TMPDIR", memory) // cannot fail for this name; halves the time initdb takes
	}
	cleanup, err := provideBinaries()
	if err != nil {
		fmt.Fprintln(os.Stderr, "devpg tests:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cleanup()
		os.Exit(code)
	}))
}

// diskDir is the temporary directory on disk, for the tests that are about what survives.
var diskDir string

// roomy tells whether dir has space for a few clusters and lets programs run.
func roomy(dir string) bool {
	const noexec, enough = 8, 2 << 30
	var fs syscall.Statfs_t
	err := syscall.Statfs(dir, &fs)
	return err == nil && fs.Flags&noexec == 0 && fs.Bavail*uint64(fs.Bsize) > enough
}

// provideBinaries finds the installed binaries, or downloads some for this run where there are none.
func provideBinaries() (cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "devpg-binaries-")
	if err != nil {
		return nil, err
	}
	bindir, err := devpg.AnyBindir(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(dir) }, os.Setenv(bindirVariable, bindir)
}
