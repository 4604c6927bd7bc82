package devpg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// clusterLocale exists in every glibc and musl of today, without any locale package.
const clusterLocale = "C.UTF-8"

// dieWithParent makes the kernel ask the child for a clean end (a fast shutdown, for Postgres) when this
// process ends in any way, kill -9 included.
func dieWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGINT }

// mayBePostgres is false only for a living process that runs another program.
func mayBePostgres(pid int) bool {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err != nil || strings.HasPrefix(filepath.Base(program), "postgres")
}
