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
	life context.Context // ends with the program
	err  error           // how it ended; read it after life
}

// startChild runs cmd from a thread of its own that stays until the program ends: on Linux the death signal
// comes when the thread that started the child ends, not only when the process does.
func startChild(cmd *exec.Cmd) (*child, error) {
	dieWithParent(cmd.SysProcAttr)
	life, end := context.WithCancel(context.Background())
	c := &child{cmd: cmd, life: life}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer end()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// whileRunning is ctx that also ends with the program.
func (c *child) whileRunning(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(c.life, cancel)
	return ctx, cancel
}

// run waits for the program; when ctx ends first it kills the whole process group.
func (c *child) run(ctx context.Context) error {
	select {
	case <-c.life.Done():
		return c.err
	case <-ctx.Done():
		// The group may be gone already; life tells.
		_ = syscall.Kill(-c.pid(), syscall.SIGKILL)
		<-c.life.Done()
		return ctx.Err()
	}
}

// stopPostgres asks a postmaster for a fast shutdown and waits. When ctx ends first it orders an immediate
// one, which the postmaster completes within seconds by killing what does not obey.
func (c *child) stopPostgres(ctx context.Context) error {
	// Signalling a process that has ended is an error without meaning here; life tells.
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-c.life.Done():
		return nil
	case <-ctx.Done():
		_ = c.cmd.Process.Signal(syscall.SIGQUIT)
		<-c.life.Done()
		return fmt.Errorf("postgres did not finish a fast shutdown in time and was ended without a checkpoint: %w", ctx.Err())
	}
}
