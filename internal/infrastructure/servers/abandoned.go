package servers

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/emptypb"
)

// An abandoned call is one that began and whose request never came, which is what a rapid reset is made of
// (CVE-2023-44487). grpc-go bounds the streams that are open at a time; those that are reset are free at once, and each
// has had its headers decoded and a handler started.
//
// What a gateway cancels does not count once its request was read, however many calls that is. Of those that it gives up
// before, because this process had no time to read, there are at most maxConcurrentStreams in each of its deadlines: 200
// a second with 500 ms. The bound is five times that. A new connection has not been kept waiting yet, so it starts with
// less, or whoever is cut would gain by coming again.
const (
	abandonedPerSecond = 10 * maxConcurrentStreams
	abandonedAtFirst   = 2 * maxConcurrentStreams
	abandonedAtMost    = 10 * maxConcurrentStreams
	// lingering is how long a connection over the bound is left unread before it is closed: whoever waits for the end to
	// come again has to wait.
	lingering = time.Second
)

const reasonRapidReset = "rapid_reset"

var (
	errAbandoning = status.New(codes.ResourceExhausted, "too many calls were given up before their request came").Err()
	errUnknown    = status.New(codes.Unimplemented, "unknown method").Err()
	errAbandoned  = errors.New("too many calls of the connection were given up before their request came")
)

// guard closes connections that abandon too many calls.
type guard struct {
	now    func() time.Time
	closed func(reason string)
	// arrive is asked next, and may refuse a call.
	arrive tap.ServerInHandle
}

// options are those of the server that is guarded. received must be its first interceptor.
func (g guard) options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.Creds(guarded{insecure.NewCredentials(), g}), grpc.InTapHandle(g.opened), grpc.UnknownServiceHandler(unknown)}
}

// guarded gives each connection its record, where calls find it. Listeners do TLS (Secure), so there is nothing to shake
// hands about.
type guarded struct {
	credentials.TransportCredentials
	guard guard
}

// ServerHandshake implements credentials.TransportCredentials.
func (g guarded) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := &connection{Conn: conn, guard: g.guard, ended: make(chan struct{})}
	c.left, c.at = abandonedAtFirst, g.guard.now()
	return c, c, nil
}

// Clone implements credentials.TransportCredentials.
func (g guarded) Clone() credentials.TransportCredentials { return g }

// connection counts the calls whose request has not come.
type connection struct {
	net.Conn
	guard guard
	over  atomic.Bool
	ended chan struct{}
	end   sync.Once

	mu sync.Mutex
	// left is how many more calls may begin at time at.
	left float64
	at   time.Time
}

// AuthType implements credentials.AuthInfo.
func (*connection) AuthType() string { return "insecure" }

func connectionOf(ctx context.Context) (c *connection, found bool) {
	if p, ok := peer.FromContext(ctx); ok {
		c, found = p.AuthInfo.(*connection)
	}
	return c, found
}

// opened implements tap.ServerInHandle: it sees every call before anything is started for it.
func (g guard) opened(ctx context.Context, call *tap.Info) (context.Context, error) {
	c, found := connectionOf(ctx)
	if found && !c.begin() {
		return ctx, errAbandoning
	}
	ctx, err := g.arrive(ctx, call)
	if found && err != nil {
		c.give() // nobody waits for its request
	}
	return ctx, err
}

// received tells the connection that a call's request has come, whatever becomes of it, and goes on with next.
func received(next grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if c, found := connectionOf(ctx); found {
			c.give()
		}
		return next(ctx, req, info, handler)
	}
}

// unknown answers calls of methods that there are none of: no interceptor sees them. Their request has come too.
func unknown(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(emptypb.Empty)); err == nil {
		if c, found := connectionOf(stream.Context()); found {
			c.give()
		}
	}
	return errUnknown
}

// begin reports whether one more call may.
func (c *connection) begin() bool {
	now := c.guard.now()
	c.mu.Lock()
	c.left = min(abandonedAtMost, c.left+now.Sub(c.at).Seconds()*abandonedPerSecond) - 1
	c.at = now
	within := c.left >= 0
	c.mu.Unlock()
	if !within && c.over.CompareAndSwap(false, true) {
		c.guard.closed(reasonRapidReset)
	}
	return within
}

// give takes a call back.
func (c *connection) give() {
	c.mu.Lock()
	c.left = min(abandonedAtMost, c.left+1)
	c.mu.Unlock()
}

// Read implements net.Conn. The transport closes a connection that cannot be read.
func (c *connection) Read(p []byte) (int, error) {
	if !c.over.Load() {
		return c.Conn.Read(p)
	}
	timer := time.NewTimer(lingering)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ended:
	}
	return 0, errAbandoned
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.end.Do(func() { close(c.ended) })
	return c.Conn.Close()
}
