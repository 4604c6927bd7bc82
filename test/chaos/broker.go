package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	eventsTopic  = "profile.events"
	catalogTopic = "catalog.video.events"
	catalogSub   = "profile.catalog-inbox"
	maxMessage   = 64 << 20
	// leastDeadline in seconds is the shortest that Pub/Sub takes.
	leastDeadline = 10
)

// broker stands in front of a Pub/Sub server, an in-memory one or Google's emulator. It records what is
// published in the order the server takes it, which is the truth about deliveries, and it can misbehave.
type broker struct {
	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer

	project   string
	memory    *pstest.Server
	conn      *grpc.ClientConn
	publisher pubsubpb.PublisherClient
	consumer  pubsubpb.SubscriberClient
	server    *grpc.Server
	addr      string
	group     sync.WaitGroup
	stop      context.CancelFunc

	// taking orders what the server takes.
	taking sync.Mutex

	mu       sync.Mutex
	arrivals []arrival
	// behave decides about every Publish of an event; nil is good behaviour.
	behave func(*pubsubpb.PublishRequest) conduct
	// onAck decides about every acknowledgement; nil forwards it.
	onAck func() ackFate
	// handed are the messages consumers have and have not acknowledged.
	handed map[string]handed
	// orphans are messages, by ack id, of streams that ended, and their subscription.
	orphans map[string]string
	// unseen are messages acknowledged before their event was visible in the database.
	unseen []string
	// visible tells whether the events of these messages are in the inbox.
	visible func(ctx context.Context, messages []*pubsubpb.PubsubMessage) (missing []string, err error)
	// received counts messages given to consumers, repetitions included.
	received int
}

// conduct is what the broker does with one Publish.
type conduct struct {
	// wait passes before anything happens, lag between taking the messages and saying so.
	wait, lag time.Duration
	// refuse is answered instead of taking the messages, lie after taking them.
	refuse, lie error
	// before and after are called around taking the messages; nil for nothing.
	before, after func()
}

// ackFate is what happens to an acknowledgement.
type ackFate uint8

const (
	taken ackFate = iota
	// lost acknowledgements are answered with an error and forgotten.
	lost
)

type handed struct {
	message *pubsubpb.PubsubMessage
	stream  *int
}

func startBroker(ctx context.Context) (*broker, error) {
	b := &broker{project: "chaos-" + uuid.NewString()[:8], handed: map[string]handed{}, orphans: map[string]string{}}
	backend := os.Getenv("PUBSUB_EMULATOR_HOST")
	if backend == "" {
		b.memory = pstest.NewServer()
		backend = b.memory.Addr
	}
	sizes := grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))
	conn, err := grpc.NewClient(backend, grpc.WithTransportCredentials(insecure.NewCredentials()), sizes)
	if err != nil {
		return nil, err
	}
	b.conn, b.publisher, b.consumer = conn, pubsubpb.NewPublisherClient(conn), pubsubpb.NewSubscriberClient(conn)
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	b.addr = l.Addr().String()
	b.server = grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage))
	pubsubpb.RegisterPublisherServer(b.server, b)
	pubsubpb.RegisterSubscriberServer(b.server, b)
	b.group.Go(func() { _ = b.server.Serve(l) })
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	b.group.Go(func() { b.returnOrphans(life) })
	return b, nil
}

func (b *broker) topic(id string) string { return fmt.Sprintf("projects/%s/topics/%s", b.project, id) }

func (b *broker) prepare(ctx context.Context) error {
	for _, id := range []string{eventsTopic, catalogTopic} {
		if _, err := b.publisher.CreateTopic(ctx, &pubsubpb.Topic{Name: b.topic(id)}); err != nil {
			return fmt.Errorf("create topic: %w", err)
		}
	}
	_, err := b.consumer.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: fmt.Sprintf("projects/%s/subscriptions/%s", b.project, catalogSub), Topic: b.topic(catalogTopic),
	})
	return err
}

func (b *broker) close() {
	b.stop()
	b.server.Stop()
	b.group.Wait()
	_ = b.conn.Close()
	if b.memory != nil {
		_ = b.memory.Close()
	}
}

func (b *broker) misbehave(f func(*pubsubpb.PublishRequest) conduct) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behave = f
}

func (b *broker) mishandleAcks(f func() ackFate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onAck = f
}

// taken copies what arrived so far.
func (b *broker) taken() []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]arrival(nil), b.arrivals...)
}

func (b *broker) takenCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.arrivals)
}

// Publish implements the broker.
func (b *broker) Publish(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	b.mu.Lock()
	behave := b.behave
	b.mu.Unlock()
	var c conduct
	if behave != nil {
		c = behave(req)
	}
	if !waited(ctx, c.wait) {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if c.before != nil {
		c.before()
	}
	if c.refuse != nil {
		return nil, c.refuse
	}
	res, err := b.take(context.WithoutCancel(ctx), req)
	if err != nil {
		return nil, err
	}
	if c.after != nil {
		c.after()
	}
	if !waited(ctx, c.lag) {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return res, c.lie
}

// waited passes time; false when ctx ends first.
func waited(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *broker) take(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	b.taking.Lock()
	defer b.taking.Unlock()
	res, err := b.publisher.Publish(ctx, req)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range req.GetMessages() {
		b.arrivals = append(b.arrivals, newArrival(m, now))
	}
	return res, nil
}

func newArrival(m *pubsubpb.PubsubMessage, at time.Time) arrival {
	event, _ := uuid.Parse(m.GetAttributes()["event_id"])
	key, _ := uuid.Parse(m.GetAttributes()["aggregate_id"])
	version, _ := strconv.ParseInt(m.GetAttributes()["version"], 10, 64)
	return arrival{event: event, key: key, version: version, at: at, message: m}
}

// send publishes messages of another service, past the recording, and returns their ids.
func (b *broker) send(ctx context.Context, messages ...*pubsubpb.PubsubMessage) ([]string, error) {
	res, err := b.publisher.Publish(ctx, &pubsubpb.PublishRequest{Topic: b.topic(catalogTopic), Messages: messages})
	return res.GetMessageIds(), err
}

// GetSubscription implements the broker.
func (b *broker) GetSubscription(ctx context.Context, req *pubsubpb.GetSubscriptionRequest) (*pubsubpb.Subscription, error) {
	return b.consumer.GetSubscription(ctx, req)
}

// ModifyAckDeadline implements the broker.
func (b *broker) ModifyAckDeadline(ctx context.Context, req *pubsubpb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	return b.consumer.ModifyAckDeadline(ctx, req)
}

// Acknowledge implements the broker. It looks into the inbox first: nothing may be acknowledged that is not
// committed (I10).
func (b *broker) Acknowledge(ctx context.Context, req *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	b.mu.Lock()
	onAck, visible := b.onAck, b.visible
	var messages []*pubsubpb.PubsubMessage
	for _, id := range req.GetAckIds() {
		if h, found := b.handed[id]; found {
			messages = append(messages, h.message)
		}
	}
	b.mu.Unlock()
	if visible != nil {
		if missing, err := visible(ctx, messages); err == nil && len(missing) > 0 {
			b.mu.Lock()
			b.unseen = append(b.unseen, missing...)
			b.mu.Unlock()
		}
	}
	if onAck != nil && onAck() == lost {
		return nil, status.Error(codes.Unavailable, "chaos: acknowledgement lost")
	}
	// Whether the caller is still there does not change what the server does.
	res, err := b.consumer.Acknowledge(context.WithoutCancel(ctx), req)
	if err == nil {
		b.mu.Lock()
		for _, id := range req.GetAckIds() {
			delete(b.handed, id)
			delete(b.orphans, id)
		}
		b.mu.Unlock()
	}
	return res, err
}

// StreamingPull implements the broker. What a consumer had in hand when its stream ended is delivered again
// at once, instead of after its deadline.
func (b *broker) StreamingPull(client pubsubpb.Subscriber_StreamingPullServer) error {
	ctx, cancel := context.WithCancel(client.Context())
	defer cancel()
	backend, err := b.consumer.StreamingPull(ctx)
	if err != nil {
		return err
	}
	me := new(int)
	subscription := make(chan string, 1)
	var group sync.WaitGroup
	group.Go(func() {
		defer cancel()
		for first := true; ; first = false {
			req, err := client.Recv()
			if err != nil {
				return
			}
			if first {
				subscription <- req.GetSubscription()
				// What the server sent and we did not see in time comes again as soon as it allows.
				req.StreamAckDeadlineSeconds = leastDeadline
			}
			if backend.Send(req) != nil {
				return
			}
		}
	})
	for err == nil {
		var res *pubsubpb.StreamingPullResponse
		if res, err = backend.Recv(); err == nil {
			b.hand(res, me)
			err = client.Send(res)
		}
	}
	cancel()
	group.Wait()
	select {
	case name := <-subscription:
		b.takeBack(name, me)
	default:
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (b *broker) hand(res *pubsubpb.StreamingPullResponse, stream *int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range res.GetReceivedMessages() {
		b.handed[m.GetAckId()] = handed{m.GetMessage(), stream}
		delete(b.orphans, m.GetAckId())
		b.received++
	}
}

// takeBack has what was handed to a stream that ended delivered again.
func (b *broker) takeBack(subscription string, stream *int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, h := range b.handed {
		if h.stream == stream {
			delete(b.handed, id)
			b.orphans[id] = subscription
		}
	}
}

// returnOrphans gives messages of ended streams back until they are handed out again: the server may give them
// to a stream whose end it has not noticed yet.
func (b *broker) returnOrphans(ctx context.Context) {
	for waited(ctx, 100*time.Millisecond) {
		b.mu.Lock()
		requests := map[string][]string{}
		for id, subscription := range b.orphans {
			requests[subscription] = append(requests[subscription], id)
		}
		b.mu.Unlock()
		for subscription, ids := range requests {
			// The next turn repeats what fails.
			_, _ = b.consumer.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: subscription, AckIds: ids})
		}
	}
}

// unsettled is how many messages consumers have in hand or should have.
func (b *broker) unsettled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.handed) + len(b.orphans)
}
