package devpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// account is the operating-system user Postgres runs as. initdb and postgres refuse root, and refuse a user id
// without a passwd entry.
type account struct {
	name     string
	uid, gid uint32
	dropped  bool // we are root and give up its rights for this account
}

// postgresAccount is the current user, or for root the first of PROFILE_PG_USER, postgres and nobody.
func postgresAccount(getenv func(string) string) (account, error) {
	if os.Geteuid() != 0 {
		u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
		if err != nil {
			return account{}, fmt.Errorf("user id %d has no passwd entry and Postgres refuses to run as such: add one, or set DATABASE_URL", os.Geteuid())
		}
		return newAccount(u, false)
	}
	if name := getenv("PROFILE_PG_USER"); name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return account{}, fmt.Errorf("PROFILE_PG_USER=%s: no such user", name)
		}
		if u.Uid == "0" {
			return account{}, fmt.Errorf("PROFILE_PG_USER=%s: Postgres refuses to run as root", name)
		}
		return newAccount(u, true)
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return newAccount(u, true)
		}
	}
	return account{}, errors.New("running as root, and neither user postgres nor nobody exists to run Postgres as: set PROFILE_PG_USER")
}

func newAccount(u *user.User, dropped bool) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return account{name: u.Username, uid: uint32(uid), gid: uint32(gid), dropped: dropped}, nil
}

// dirMode is the mode of the directories around the data: another account than ours must get through them.
func (a account) dirMode() os.FileMode {
	if a.dropped {
		return 0o755
	}
	return 0o700
}

// attributes puts a child in its own process group (Ctrl-C is ours to handle) and under this account.
func (a account) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if a.dropped {
		attributes.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attributes
}

// canEnter tells which directory on the way to dir the account may not pass. Our own account is not checked:
// the system's own errors name the path.
func (a account) canEnter(dir string) error {
	if !a.dropped {
		return nil
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for _, component := range ancestors(resolved) {
		info, err := os.Stat(component)
		if err != nil {
			return err
		}
		if !a.mayPass(info) {
			return fmt.Errorf("user %s cannot enter %s (mode %04o)", a.name, component, info.Mode().Perm())
		}
	}
	return nil
}

func (a account) mayPass(info fs.FileInfo) bool {
	stat := info.Sys().(*syscall.Stat_t) // what os.Stat returns on every Unix
	mode := info.Mode().Perm()
	switch {
	case stat.Uid == a.uid:
		return mode&0o100 != 0
	case stat.Gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// ancestors lists dir and every directory above it, the root first.
func ancestors(dir string) []string {
	list := []string{dir}
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		list = append(list, parent)
	}
	slices.Reverse(list)
	return list
}

// own gives a file or tree to the account; for our own account it is ours already.
func (a account) own(path string) error {
	if !a.dropped {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid == a.uid {
		return err
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid))
	})
}
