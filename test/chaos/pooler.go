package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// pooler is pgbouncer in transaction mode.
type pooler struct {
	cmd  *exec.Cmd
	dir  string
	port int
}

func startPooler(ctx context.Context, d *database) (*pooler, error) {
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		return nil, fmt.Errorf("this fault needs pgbouncer: %w", err)
	}
	app, err := url.Parse(d.current().AppURL("profile"))
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(app.Host)
	if err != nil {
		return nil, err
	}
	p := &pooler{}
	if p.dir, err = os.MkdirTemp("", "chaos-pgbouncer-"); err != nil {
		return nil, err
	}
	if p.port, err = freePort(ctx); err != nil {
		return nil, err
	}
	password, _ := app.User.Password()
	config := fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = plain
auth_file = %s
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
logfile = %s
`, host, port, p.port, filepath.Join(p.dir, "users.txt"), filepath.Join(p.dir, "log.txt"))
	users := fmt.Sprintf("%q %q\n", app.User.Username(), password)
	for name, text := range map[string]string{"users.txt": users, "pgbouncer.ini": config, "log.txt": ""} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, "-q", filepath.Join(p.dir, "pgbouncer.ini")) //nolint:gosec // G204: pgbouncer
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.dropRoot(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

// dropRoot runs pgbouncer, which refuses root, as nobody.
func (p *pooler) dropRoot() error {
	if os.Getuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, name := range []string{"", "users.txt", "pgbouncer.ini", "log.txt"} {
		if err := os.Chown(filepath.Join(p.dir, name), uid, gid); err != nil {
			return err
		}
	}
	return nil
}

func (p *pooler) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

func (p *pooler) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
	_ = os.RemoveAll(p.dir)
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
