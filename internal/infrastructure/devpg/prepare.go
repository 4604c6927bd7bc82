package devpg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	bootLimit  = time.Minute      // crash recovery included
	abortLimit = 10 * time.Second // for the end of a server that will not be used
)

// prepare waits until a server of ours answers and makes sure that it has our roles and our database.
func prepare(ctx context.Context, at address, s secrets) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	conn, err := waitForAnswer(ctx, at, s)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return ensureRoles(ctx, conn, s)
}

func waitForAnswer(ctx context.Context, at address, s secrets) (conn *pgx.Conn, err error) {
	var refusal error
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		conn, refusal = connectSuper(ctx, at, s)
		if isWrongPassword(refusal) {
			return false, fmt.Errorf("the passwords in state.json do not open this data: %w", refusal)
		}
		return refusal == nil, nil
	})
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("no answer from %s: %w: %w", at, err, refusal)
	}
	return conn, err
}

// abort ends a server that will not be used, also when ctx has ended.
func abort(ctx context.Context, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortLimit)
	defer cancel()
	return stop(ctx)
}
