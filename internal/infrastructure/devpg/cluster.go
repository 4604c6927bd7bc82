package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cluster is the data of one major version: a marked directory with "data" in it, which appears in one step
// once initdb has finished.
type cluster struct {
	dir string
	who account
}

// openCluster claims dir for one major version. It fails with *DataError when dir is not ours or holds the data
// of another version.
func openCluster(dir string, major int, who account) (cluster, error) {
	c := cluster{dir: dir, who: who}
	if err := claim(c.dir, who.dirMode()); err != nil {
		return cluster{}, &DataError{Dir: c.dir, err: err}
	}
	if err := who.canEnter(c.dir); err != nil {
		return cluster{}, &DataError{Dir: c.dir, err: err}
	}
	if !c.exists() {
		return c, nil
	}
	version, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if err != nil {
		return cluster{}, &DataError{Dir: c.dir, err: fmt.Errorf("data directory: %w", err)}
	}
	if v := strings.TrimSpace(string(version)); v != strconv.Itoa(major) {
		return cluster{}, &DataError{Dir: c.dir, err: fmt.Errorf("%s holds data of Postgres %s, not %d", c.data(), v, major)}
	}
	if err := who.own(c.data()); err != nil { // another account may have served it last time
		return cluster{}, &DataError{Dir: c.dir, err: err}
	}
	return c, nil
}

// dropStalePid removes a postmaster.pid that names a process which is no Postgres: after a crash of a whole
// machine or container its number may belong to anyone, and Postgres would refuse to start. The caller holds the
// lock, so no server of ours is alive; one started by hand is left to Postgres to detect.
func (c cluster) dropStalePid() error {
	path := filepath.Join(c.data(), "postmaster.pid")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(line)) // 0, which nobody has, when the file was cut short
	if mayBePostgres(pid) {
		return nil
	}
	return os.Remove(path)
}

func (c cluster) data() string { return filepath.Join(c.dir, "data") }

func (c cluster) exists() bool {
	_, err := os.Lstat(c.data())
	return err == nil
}

// create runs initdb beside the final place and renames: a data directory is complete or not there. The
// caller holds the lock, so what an earlier initdb left behind belongs to nobody.
func (c cluster) create(ctx context.Context, t tools, superPassword string, durable bool) error {
	const unfinished, passwordFile = "data.tmp", "password"
	if err := removeClaimed(c.dir, unfinished, passwordFile); err != nil {
		return err
	}
	tmp, password := filepath.Join(c.dir, unfinished), filepath.Join(c.dir, passwordFile)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(password, []byte(superPassword), 0o600); err != nil {
		return err
	}
	if err := errors.Join(c.who.own(tmp), c.who.own(password)); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + tmp, "--username=" + superRole, "--pwfile=" + password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=" + clusterLocale, "--no-instructions",
	}
	if !durable {
		args = append(args, "--no-sync")
	}
	initdb, err := startChild(t.command("initdb", tmp, args...))
	if err != nil {
		return err
	}
	if err := initdb.run(ctx); err != nil {
		return t.withLog(fmt.Errorf("initdb: %w", err))
	}
	if err := removeClaimed(c.dir, passwordFile); err != nil {
		return err
	}
	return os.Rename(tmp, c.data())
}
