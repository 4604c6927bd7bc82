package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/postgres"
)

// The programs under test.
const (
	programGRPC   = "./cmd/grpc"
	programOutbox = "./cmd/tasks/outbox"
)

const project = "bench"

// topology is the service as in production: Postgres, broker, API and publisher, each in processes of its own.
type topology struct {
	options  options
	dir      string
	binaries map[string]string
	db       *database
	broker   string
	service  *service
	// look is for measuring, in the service's database.
	look     *pgxpool.Pool
	cleanups []func() error
	turns    uint64
}

// newTopology builds the programs, then starts Postgres in dataDir (empty: a temporary one), loads what is not
// loaded yet, and starts the others.
func newTopology(ctx context.Context, o options, dataDir string) (t *topology, err error) {
	t = &topology{options: o, binaries: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if t.dir, err = os.MkdirTemp("", "profile-bench-"); err != nil {
		return t, err
	}
	t.cleanup(func() error { return os.RemoveAll(t.dir) })
	if err := os.Chmod(t.dir, 0o755); err != nil { //nolint:gosec // G302: Postgres may run as another user
		return t, err
	}
	if err := t.build(ctx); err != nil {
		return t, err
	}
	if dataDir == "" {
		dataDir = filepath.Join(t.dir, "postgres")
	}
	if t.db, err = startDatabase(ctx, dataDir); err != nil {
		return t, err
	}
	t.cleanup(func() error { return t.db.stop(ctx) })
	if _, err = postgres.MigrateUp(ctx, t.db.server.OwnerURL(ourDatabase)); err != nil {
		return t, err
	}
	if err = load(ctx, t.db, o.Data, o.newProgress()); err != nil {
		return t, fmt.Errorf("load data: %w", err)
	}
	return t, t.startPrograms(ctx)
}

// build compiles the programs as they are shipped: with the versions of their own module, not of this one.
func (t *topology) build(ctx context.Context) error {
	t.options.say("building")
	root, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	for _, pkg := range []string{programGRPC, programOutbox} {
		t.binaries[pkg] = filepath.Join(t.dir, filepath.Base(pkg))
		cmd := exec.CommandContext(ctx, "go", "build", "-o", t.binaries[pkg], pkg) //nolint:gosec // G204: our own programs
		cmd.Dir = strings.TrimSpace(string(root))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

func (t *topology) startPrograms(ctx context.Context) (err error) {
	config, err := pgxpool.ParseConfig(t.db.server.SuperURL(ourDatabase))
	if err != nil {
		return err
	}
	config.MaxConns, config.MinConns = 2, 2
	if t.look, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	t.cleanup(func() error { t.look.Close(); return nil })
	broker, address, err := startPrinting(ctx, "broker", t.logOf("broker"), asBroker, "projects/"+project+"/topics/profile.events")
	if err != nil {
		return err
	}
	t.broker = address
	t.cleanup(func() error { broker.stop(time.Second); return nil })
	publisher, err := program{name: "outbox", log: t.logOf("outbox"), env: t.env("PROFILE_ADMIN_ADDR=127.0.0.1:0"), argv: []string{t.binaries[programOutbox]}}.start(ctx)
	if err != nil {
		return err
	}
	t.cleanup(func() error { publisher.stop(stopTimeout); return nil })
	if t.service, err = t.startService(ctx); err != nil {
		return err
	}
	t.cleanup(func() error { t.service.stop(stopTimeout); return nil })
	return nil
}

func (t *topology) cleanup(f func() error) { t.cleanups = append(t.cleanups, f) }

// close ends everything in reverse order.
func (t *topology) close() (err error) {
	for _, end := range slices.Backward(t.cleanups) {
		err = errors.Join(err, end())
	}
	t.cleanups = nil
	return err
}

func (t *topology) logOf(name string) string { return filepath.Join(t.dir, name+".log") }

// env is the environment of a program of the service: as shipped, but for addresses, development identity and limits
// of users (a few play the part of many: limits decide on every call, and refuse none), then extra, then what the user
// asked for.
func (t *topology) env(extra ...string) []string {
	env := append(minimalEnv(),
		"DATABASE_URL="+t.db.server.AppURL(ourDatabase), "PUBSUB_EMULATOR_HOST="+t.broker, "GOOGLE_CLOUD_PROJECT="+project,
		"PROFILE_CURSOR_KEYS=bench-cursor-key-0001", "PROFILE_SERVICE_ENVIRONMENT=dev", "PROFILE_AUTH_INSECURE_DEV=true",
		"PROFILE_LIMITS_FAVORITES_PER_SECOND=1000000", "PROFILE_LIMITS_FAVORITES_PER_DAY=1000000000", "PROFILE_LIMITS_PROGRESS_PER_SECOND=1000000")
	return append(append(env, extra...), t.options.Env...)
}

// service is a running API server.
type service struct {
	*process
	grpc, http, admin string
}

// startService returns once /readyz says so.
func (t *topology) startService(ctx context.Context) (s *service, err error) {
	s = &service{}
	for _, address := range []*string{&s.grpc, &s.http, &s.admin} {
		if *address, err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	s.process, err = program{
		name: "grpc", log: t.logOf("grpc"), argv: []string{t.binaries[programGRPC]},
		env: t.env("PROFILE_GRPC_ADDR="+s.grpc, "PROFILE_ADMIN_ADDR="+s.admin, "PROFILE_HTTP_ADDR="+s.http),
	}.start(ctx)
	if err != nil {
		return nil, err
	}
	err = eventually(ctx, startTimeout, 10*time.Millisecond, func(ctx context.Context) error {
		if !s.alive() {
			return fmt.Errorf("the service ended: %s", s.tail())
		}
		_, err := s.get(ctx, "/readyz")
		return err
	})
	if err != nil {
		s.stop(stopTimeout)
		return nil, fmt.Errorf("await the service: %w: %s", err, s.tail())
	}
	return s, nil
}

// get asks the admin listener.
func (s *service) get(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return string(body), err
}

// metric is a figure of /metrics without labels.
func (s *service) metric(ctx context.Context, name string) (float64, error) {
	body, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		if found, value, _ := strings.Cut(line, " "); found == name {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no %s in /metrics", name)
}

// rss is the service's resident memory in MiB.
func (s *service) rss() (float64, error) {
	const kiloPerMega = 1024
	value, err := procStatus(s.pid(), "VmRSS")
	if err != nil {
		return 0, err
	}
	kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 64)
	return kb / kiloPerMega, err
}

// processorTime is what the service has used, in seconds.
func (s *service) processorTime() (float64, error) {
	// Behind the name, which may hold blanks, utime and stime are the 12th and 13th fields, in hundredths of a second.
	const utime, stime, perSecond = 11, 12, 100
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) <= stime {
		return 0, errors.New("/proc has no times of the service")
	}
	user, err := strconv.Atoi(fields[utime])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[stime])
	return float64(user+system) / perSecond, err
}
