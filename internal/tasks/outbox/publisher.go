package outbox

import (
	"context"
	"log/slog"
	"sync"
)

// Publisher moves events from the queue to the topic. Any number may run.
type Publisher struct {
	pump *pump
	// stop asks the pump to finish; done says that it has.
	stop, done chan struct{}

	mu               sync.Mutex
	started, stopped bool
}

// NewPublisher publishes to topic, which it stops at the end.
func NewPublisher(opts Options, store Store, topic Topic, alarm Alarm, observer Observer, log *slog.Logger) *Publisher {
	return &Publisher{
		pump: newPump(opts, store, topic, alarm, observer, log),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// Start publishes until Stop and then returns nil. It survives failures of database and broker. Once only: after
// Stop, and a second time, it returns at once.
func (p *Publisher) Start(ctx context.Context) error {
	p.mu.Lock()
	over := p.started || p.stopped
	p.started = true
	p.mu.Unlock()
	if over {
		return nil
	}
	defer close(p.done)
	p.pump.run(context.WithoutCancel(ctx), p.stop)
	return nil
}

// Stop ends reading, waits for acknowledgements, forgets what was acknowledged and releases the lanes; it
// gives up at the grace or at ctx, which loses nothing. Safe before Start and safe twice.
func (p *Publisher) Stop(ctx context.Context) error {
	p.mu.Lock()
	running := p.started
	if !p.stopped {
		p.stopped = true
		close(p.stop)
		if !running {
			close(p.done)
		}
	}
	p.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	return nil
}
