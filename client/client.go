package client

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

const (
	// The service ends connections that ping more often than every 30 s.
	pingEvery   = time.Minute
	pingTimeout = 20 * time.Second
	// A full page whose videos have long descriptions may be larger than gRPC's default of 4 MiB. What a request may
	// have the service decides.
	maxResponseBytes = 16 << 20

	serviceConfig = `{"loadBalancingConfig":[{"round_robin":{}}]}`
)

// Client has every method of ProfileService. Safe for concurrent use; one for each target is enough.
//
// A call that changes something and names no idempotency key gets one of its own. A call that failed is repeated when
// the service says that the same call may succeed later, or when there was no service to say so, and repeating it is
// safe: never sooner than RetryInfo asks, never past the deadline of its context. Errors of methods are *Error.
type Client struct {
	profilev1.ProfileServiceClient
	conn *grpc.ClientConn
}

// New makes a client of the service at target, in gRPC's form: "host:port" spreads calls over all addresses of the
// name. It connects with the first call, by TLS with the system's roots unless an option says otherwise. The caller
// closes it. Options that contradict each other are an error.
func New(target string, opts ...Option) (*Client, error) {
	s := settings{retries: defaultRetries}
	for _, opt := range opts {
		opt(&s)
	}
	security, err := s.security()
	if err != nil {
		return nil, fmt.Errorf("profile client: %w", err)
	}
	dial := append([]grpc.DialOption{
		grpc.WithDefaultServiceConfig(serviceConfig),
		// DNS cannot replace the above.
		grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponseBytes)),
		grpc.WithChainUnaryInterceptor(retrier{s.retries}.intercept),
	}, security...)
	conn, err := grpc.NewClient(target, append(dial, s.dial...)...)
	if err != nil {
		return nil, fmt.Errorf("profile client: %w", err)
	}
	return &Client{ProfileServiceClient: profilev1.NewProfileServiceClient(conn), conn: conn}, nil
}

// Close ends the connections; calls in work fail with CANCELLED.
func (c *Client) Close() error {
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close profile client: %w", err)
	}
	return nil
}
