package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// The databases of the server: the service's, and the yardsticks'.
const (
	ourDatabase   = "profile"
	otherDatabase = "yardstick"
)

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 30 * time.Second
)

// durable is what production promises; everything else is as devpg ships it to developers.
var durable = map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "200"}

// database is a private Postgres that keeps its data in dir and its port across restarts.
type database struct {
	dir    string
	server *devpg.Server
}

func startDatabase(ctx context.Context, dir string) (*database, error) {
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // G301, G302: Postgres may run as another user
		return nil, err
	}
	d := &database{dir: dir}
	return d, d.start(ctx)
}

func (d *database) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	server, err := devpg.Start(ctx, devpg.Options{
		StateDir: d.dir,
		// Where the data is, is decided here and not by the caller's environment.
		Getenv:   func(name string) string { return map[string]string{"PATH": os.Getenv("PATH")}[name] },
		Settings: durable,
	})
	if err != nil {
		return err
	}
	if server.Attached() || server.Pid() == 0 {
		return errors.Join(fmt.Errorf("another process serves %s: two runs at a time measure each other", d.dir), server.Stop(ctx))
	}
	d.server = server
	return nil
}

func (d *database) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return d.server.Stop(ctx)
}

// address is host:port.
func (d *database) address() (string, error) {
	u, err := url.Parse(d.server.SuperURL(""))
	if err != nil {
		return "", err
	}
	return u.Host, nil
}

// super executes SQL as the superuser.
func (d *database) super(ctx context.Context, name string, statements ...string) error {
	conn, err := pgx.Connect(ctx, d.server.SuperURL(name))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	return nil
}

// restart shuts the server down as an operator does, lets it be away, and starts it on the same port. It
// returns when it answered again.
func (d *database) restart(ctx context.Context, away time.Duration) (back time.Time, err error) {
	before, err := d.address()
	if err != nil {
		return back, err
	}
	if err := d.stop(ctx); err != nil {
		return back, err
	}
	waited(ctx, away)
	if err := d.start(ctx); err != nil {
		return back, err
	}
	back = time.Now()
	after, err := d.address()
	if err == nil && after != before {
		err = fmt.Errorf("the port was taken meanwhile: %s became %s", before, after)
	}
	return back, err
}

// stall stops every process of the server; resume lets them go on. Stopping the postmaster first keeps it from
// making more.
func (d *database) stall() (resume func() error, err error) {
	postmaster := d.server.Pid()
	stopped := []int{}
	resume = func() (err error) {
		for _, pid := range stopped {
			if e := syscall.Kill(pid, syscall.SIGCONT); e != nil && !errors.Is(e, syscall.ESRCH) {
				err = errors.Join(err, e)
			}
		}
		return err
	}
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		return resume, fmt.Errorf("stop postgres: %w", err)
	}
	stopped = append(stopped, postmaster)
	children, err := childrenOf(postmaster)
	if err != nil {
		return resume, err
	}
	for _, pid := range children {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
			return resume, fmt.Errorf("stop postgres: %w", err)
		}
		stopped = append(stopped, pid)
	}
	return resume, nil
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) (children []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		parent, err := procStatus(child, "PPid")
		if err == nil && parent == strconv.Itoa(pid) {
			children = append(children, child)
		}
	}
	return children, nil
}

// procStatus is a value of /proc/<pid>/status.
func procStatus(pid int, key string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); name == key {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("no %s in the status of process %d", key, pid)
}
