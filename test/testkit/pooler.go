package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// pooler is pgbouncer in transaction mode in front of the package's Postgres. Debian's 1.18 knows no
// prepared statements: the worst case.
type pooler struct {
	process *exec.Cmd
	dir     string
	port    int
	app     *url.URL
}

func startPooler(ctx context.Context, server *devpg.Server) (*pooler, error) {
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		return nil, fmt.Errorf("PROFILE_TEST_POOLER=pgbouncer needs pgbouncer on PATH (apt-get install pgbouncer): %w", err)
	}
	app, err := url.Parse(server.AppURL("profile"))
	if err != nil {
		return nil, errors.New("app URL is not a URL")
	}
	p := &pooler{app: app}
	if p.dir, err = os.MkdirTemp("", "profile-pgbouncer-"); err != nil {
		return nil, err
	}
	if p.port, err = freePort(ctx); err != nil {
		return nil, err
	}
	password, _ := app.User.Password()
	host, port, err := net.SplitHostPort(app.Host)
	if err != nil {
		return nil, errors.New("app URL has no port")
	}
	users := fmt.Sprintf("%q %q\n", app.User.Username(), password)
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
	for name, text := range map[string]string{"users.txt": users, "pgbouncer.ini": config, "log.txt": ""} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	p.process = exec.Command(binary, "-q", filepath.Join(p.dir, "pgbouncer.ini"))
	p.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.dropRoot(); err != nil {
		return nil, err
	}
	if err := p.process.Start(); err != nil {
		return nil, err
	}
	return p, p.wait(ctx)
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
	p.process.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return filepath.Walk(p.dir, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chown(path, uid, gid))
	})
}

func (p *pooler) url(database string) string {
	u := *p.app
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port))
	u.Path = "/" + database
	return u.String()
}

// wait returns when the pooler answers.
func (p *pooler) wait(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, p.url("profile")+"&default_query_exec_mode=exec")
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(p.dir, "log.txt"))
			return fmt.Errorf("pgbouncer does not answer: %w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *pooler) stop() {
	_ = p.process.Process.Signal(syscall.SIGTERM)
	_ = p.process.Wait()
	_ = os.RemoveAll(p.dir)
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
