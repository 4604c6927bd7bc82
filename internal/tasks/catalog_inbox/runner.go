package cataloginbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/services"
)

// Runner is a servers.Task. It runs once; several may share a subscription.
type Runner struct {
	client   *pubsub.Client
	inbox    services.CatalogInboxService
	observer Observer
	log      *slog.Logger
	opts     Options

	mu      sync.Mutex
	stopped bool
	// stop and abandon are set while it runs.
	stop, abandon context.CancelFunc
	done          chan struct{}
}

// NewRunner receives through client, which the caller closes after Stop.
func NewRunner(client *pubsub.Client, inbox services.CatalogInboxService, observer Observer, log *slog.Logger, opts Options) *Runner {
	return &Runner{client: client, inbox: inbox, observer: observer, log: log, opts: opts, done: make(chan struct{})}
}

// Start receives until Stop and then returns nil. An error returned earlier stops the process: the subscription
// does not exist or may not be read.
func (r *Runner) Start(ctx context.Context) error {
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	working, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	if !r.begin(stop, abandon) {
		return nil
	}
	defer close(r.done)
	subscriber := r.client.Subscriber(r.opts.Subscription)
	if err := r.check(receiving, subscriber.String()); err != nil {
		if receiving.Err() != nil {
			return nil // stopped while it was asking
		}
		return err
	}
	subscriber.ReceiveSettings.NumGoroutines = r.opts.Streams
	subscriber.ReceiveSettings.MaxOutstandingMessages = r.opts.MaxOutstanding
	subscriber.ReceiveSettings.MaxOutstandingBytes = maxOutstandingBytes

	w := &worker{Runner: r, queue: make(chan *delivery, r.opts.Batch), stopping: receiving.Done()}
	var group sync.WaitGroup
	group.Go(func() { w.run(working) })
	err := subscriber.Receive(receiving, func(_ context.Context, m *pubsub.Message) {
		r.observer.Received(m.PublishTime)
		w.queue <- newDelivery(m)
	})
	close(w.queue)
	group.Wait()
	abandon() // an acknowledgement that is not confirmed by now never will be
	w.confirmations.Wait()
	if err != nil {
		return fmt.Errorf("receive from %s: %w", subscriber, err)
	}
	return nil
}

// begin is false when Stop was first.
func (r *Runner) begin(stop, abandon context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop, r.abandon = stop, abandon
	return !r.stopped
}

// check finds out about a wrong name at once; a client would retry in silence. Every other answer says nothing: who
// may consume may not always ask, and a broker that is away comes back.
func (r *Runner) check(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err := r.client.SubscriptionAdminClient.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: name})
	switch status.Code(err) {
	case codes.OK, codes.PermissionDenied:
		return nil
	case codes.NotFound:
		return fmt.Errorf("subscription %s does not exist (messaging.catalog_inbox.subscription_id)", name)
	default:
		r.log.Warn("the broker does not answer; receiving begins when it does", "error", err)
		return nil
	}
}

// Stop takes no more messages, finishes those in hand, and returns when they are acknowledged or given back. At
// the end of ctx it gives back what is left. Safe before Start and safe twice.
func (r *Runner) Stop(ctx context.Context) error {
	r.mu.Lock()
	r.stopped = true
	stop, abandon := r.stop, r.abandon
	r.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		abandon()
		r.log.Warn("stopped before everything in hand was settled; the broker delivers it again")
		return nil
	}
}
