package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The hidden subcommands that this program starts itself with.
const (
	asLoad   = "load"
	asEcho   = "echo"
	asBroker = "broker"
	asAttack = "attack"
)

// process is a running program of ours. The kernel ends it with this one.
type process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{}
}

// program says what to run. Its output is appended to the file log; with stdout, what it prints goes there.
type program struct {
	name, log string
	env, argv []string
	stdin     io.Reader
	stdout    io.Writer
}

func (g program) start(ctx context.Context) (*process, error) {
	file, err := os.OpenFile(g.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{name: g.name, log: g.log, done: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), g.argv[0], g.argv[1:]...) //nolint:gosec // G204: programs of our own
	p.cmd.Env, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = g.env, g.stdin, file, file
	if g.stdout != nil {
		p.cmd.Stdout = g.stdout
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		// The death signal comes when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer file.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the exit code is read from ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", g.name, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop asks for an orderly end and kills what takes too long. Stopping twice is safe.
func (p *process) stop(within time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended; done tells
	select {
	case <-p.done:
	case <-time.After(within):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// tail is the end of what it wrote.
func (p *process) tail() string {
	const lines = 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// startPrinting starts a hidden subcommand that prints one line, and returns the line.
func startPrinting(ctx context.Context, name, log string, args ...string) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	read, write := io.Pipe()
	p, err := program{name: name, log: log, env: minimalEnv(), argv: append([]string{self}, args...), stdout: write}.start(ctx)
	if err != nil {
		return nil, "", err
	}
	go func() {
		<-p.done
		_ = write.Close()
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		p.stop(time.Second)
		return nil, "", fmt.Errorf("%s printed nothing: %s", name, p.tail())
	}
	go func() { _, _ = io.Copy(io.Discard, read) }()
	return p, strings.TrimSpace(line), nil
}

// output runs a program to its end and returns what it printed.
func (g program) output(ctx context.Context) ([]byte, error) {
	var out bytes.Buffer
	g.stdout = &out
	p, err := g.start(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(time.Second)
		return nil, ctx.Err()
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return nil, fmt.Errorf("%s: exit code %d: %s%s", g.name, code, out.Bytes(), p.tail())
	}
	return out.Bytes(), nil
}

// runLoad starts a load generator and waits for its result.
func runLoad(ctx context.Context, j job, log string) (res loadResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return res, err
	}
	input, err := json.Marshal(j)
	if err != nil {
		return res, err
	}
	argv := []string{self, asLoad}
	if j.Rate > 0 {
		// Those who come at their own time are elsewhere: their waiting for a processor of ours is not the service's latency.
		argv = append([]string{"nice", "-n", "-10"}, argv...)
	}
	out, err := program{name: "load generator", log: log, env: minimalEnv(), argv: argv, stdin: bytes.NewReader(input)}.output(ctx)
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(out, &res); err != nil {
		return res, fmt.Errorf("read the load generator's result: %w", err)
	}
	return res, nil
}

// minimalEnv is what any program needs: the caller's settings reach nobody by accident.
func minimalEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "TZ=UTC"}
}

// freeAddress is a loopback address that nobody listens on now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

var errPatience = errors.New("did not happen in time")

// eventually asks every so often until the answer is nil.
func eventually(ctx context.Context, within, every time.Duration, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, errPatience)
	defer cancel()
	for {
		err := question(ctx)
		if err == nil {
			return nil
		}
		if !waited(ctx, every) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// waited passes time; false when ctx ends first.
func waited(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
