package devpg

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
)

// child is a running program. It never outlives this process for long: see dieWithParent.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; read it after done
}

// startChild runs cmd from a thread of its own that stays until the program ends: on Linux the death signal
// comes when the thread that started the child ends, not only when the process does.
func startChild(cmd *exec.Cmd) (*child, error) {
	dieWithParent(cmd.SysProcAttr)
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// run waits for the program; when ctx ends first it kills the whole process group.
func (c *child) run(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		// The group may be gone already; done tells.
		_ = syscall.Kill(-c.pid(), syscall.SIGKILL)
		<-c.done
		return ctx.Err()
	}
}

// stopPostgres asks a postmaster for a fast shutdown and waits. When ctx ends first it orders an immediate
// one, which the postmaster completes within seconds by killing what does not obey.
func (c *child) stopPostgres(ctx context.Context) error {
	// Signalling a process that has ended is an error without meaning here; done tells.
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		_ = c.cmd.Process.Signal(syscall.SIGQUIT)
		<-c.done
		return fmt.Errorf("postgres did not finish a fast shutdown in time and was ended without a checkpoint: %w", ctx.Err())
	}
}
