// Package redistest gives a test a redis-server of its own, which it may kill and stop.
package redistest

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

const (
	patience = 10 * time.Second
	tick     = 10 * time.Millisecond
)

// Server keeps nothing on disk.
type Server struct {
	t       testing.TB
	port    int
	process *exec.Cmd
}

// New starts redis-server until the end of the test. Without one the test fails: no Redis is no skip.
func New(t testing.TB) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &Server{t: t, port: l.Addr().(*net.TCPAddr).Port}
	require.NoError(t, l.Close())
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Start starts it again, empty, on the same port.
func (s *Server) Start() {
	s.t.Helper()
	s.process = exec.Command("redis-server", "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.t.TempDir())
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(s.t, s.process.Start(), "apt-get install redis-server")
	client := redis.NewClient(&redis.Options{Addr: s.addr()})
	defer client.Close()
	require.Eventually(s.t, func() bool { return client.Ping(s.t.Context()).Err() == nil }, patience, tick)
}

func (s *Server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is what cache.redis_url takes.
func (s *Server) URL() string { return fmt.Sprintf("redis://%s/0", s.addr()) }

// Kill is safe to repeat.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// Signal sends SIGSTOP, say, so that it neither answers nor refuses.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.process.Process.Signal(sig))
}

// Client looks at what is kept.
func (s *Server) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: s.addr()})
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}
