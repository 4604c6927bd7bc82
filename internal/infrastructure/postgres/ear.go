package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// ear listens on a channel over a connection of its own, and connects again when it is lost.
type ear struct {
	url, channel string
	// connected is called when everything that is notified from now on will be heard.
	connected func()
	heard     func(payload string)
	// lost is called after a connection has been lost, or could not be made; again when that was so already. Not
	// when ctx has ended.
	lost func(err error, again bool)
}

// listen runs until ctx ends.
func (e ear) listen(ctx context.Context) {
	for silent := false; ; {
		heard, err := e.once(ctx)
		if ctx.Err() == nil {
			e.lost(err, silent && !heard) // once, not with every try
		}
		silent = true
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenRetry):
		}
	}
}

// once returns when the connection is lost, or cannot be made.
func (e ear) once(ctx context.Context) (heard bool, err error) {
	connect, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config, err := ParseDSN(e.url)
	if err != nil {
		return false, err
	}
	conn, err := pgx.ConnectConfig(connect, config)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(connect, "LISTEN "+e.channel); err != nil {
		return false, err
	}
	e.connected()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return true, err
		}
		e.heard(n.Payload)
	}
}
