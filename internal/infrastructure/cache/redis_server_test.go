package cache_test

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

// redisServer is a redis-server of a test's own, that keeps nothing on disk.
type redisServer struct {
	t       testing.TB
	port    int
	process *exec.Cmd
}

// startRedis starts Debian's redis-server. Without one the test fails: no Redis is no skip.
func startRedis(t testing.TB) *redisServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &redisServer{t: t, port: l.Addr().(*net.TCPAddr).Port}
	require.NoError(t, l.Close())
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	s.process = exec.Command("redis-server", "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.t.TempDir())
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(s.t, s.process.Start(), "apt-get install redis-server")
	client := redis.NewClient(&redis.Options{Addr: s.addr()})
	defer client.Close()
	require.Eventually(s.t, func() bool { return client.Ping(s.t.Context()).Err() == nil }, patience, tick)
}

func (s *redisServer) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }
func (s *redisServer) url() string  { return fmt.Sprintf("redis://%s/0", s.addr()) }

// kill is safe to repeat.
func (s *redisServer) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

func (s *redisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.process.Process.Signal(sig))
}

// client looks at what is kept.
func (s *redisServer) client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: s.addr()})
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}
