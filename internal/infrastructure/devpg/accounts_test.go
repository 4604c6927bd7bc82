package devpg_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// accountCase runs child processes as one user.
type accountCase struct {
	name string
	processConfig
}

// accounts are this user and, when this is root, uid 1000 as well: an ordinary developer.
func accounts() []accountCase {
	if os.Geteuid() != 0 {
		return []accountCase{{name: "ThisUser"}}
	}
	return []accountCase{{name: "Root"}, {name: "Uid1000", processConfig: processConfig{uid: 1000}}}
}

// dir is a temporary directory that belongs to the user.
func (a accountCase) dir(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	a.own(t, dir)
	return dir
}

func (a accountCase) own(t *testing.T, path string) {
	t.Helper()
	if a.uid != 0 {
		require.NoError(t, os.Chown(path, int(a.uid), int(a.uid)))
	}
}

// with is the case with more environment.
func (a accountCase) with(env ...string) processConfig {
	return processConfig{uid: a.uid, env: append(append([]string{}, a.env...), env...)}
}
