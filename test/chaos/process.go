package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a running program of ours. It dies with this one.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

// startProcess runs a binary with exactly env and its output appended to a file.
func startProcess(ctx context.Context, name, binary, log string, env []string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // G304: in our own directory
	if err != nil {
		return nil, err
	}
	p := &process{name: name, done: make(chan struct{}), log: log}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		// The death signal comes when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		defer out.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the exit code is read from ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
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

// signal is without effect on a process that has ended.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends it at once, also when it is stopped.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// terminate asks for an orderly end and returns the exit code; an error says that it took too long.
func (p *process) terminate(within time.Duration) (int, error) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(within):
		p.kill()
		return -1, fmt.Errorf("%s did not stop within %s", p.name, within)
	}
}

// tail is the end of what it wrote.
func (p *process) tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// failures are what it called its own fault, the last few.
func (p *process) failures(most int) (lines []string) {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []string{err.Error()}
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.Contains(line, `"level":"ERROR"`) {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-most):]
}
