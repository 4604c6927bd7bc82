package devpg

import (
	"context"
	"time"
)

// poll calls check until it is done, it fails or ctx ends.
func poll(ctx context.Context, every time.Duration, check func() (done bool, err error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
