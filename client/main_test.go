package client_test

import (
	"context"
	"net"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) {
	// A library of the service starts it with the process.
	goleak.VerifyTestMain(testkit.Suite{M: m}, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const video = "0190d5a0-3333-7abc-8def-00000000abcd"

func like() *profilev1.MutateFavoriteRequest {
	return &profilev1.MutateFavoriteRequest{
		VideoId: video, FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
	}
}

// connect makes a client that reaches target without TLS.
func connect(t testing.TB, target string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(target, append([]client.Option{client.WithInsecure()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// to makes a client of the real service.
func to(t testing.TB, s *testkit.Service, opts ...client.Option) *client.Client {
	t.Helper()
	return connect(t, s.App.Listeners.GRPC.Addr().String(), opts...)
}

// attempt is one try of a call, as it leaves the client.
type attempt struct {
	method string
	req    any
}

// journal keeps every attempt; answer says what becomes of each, by its number from 1.
type journal struct {
	attempts []attempt
	answer   func(number int, send func() error) error
}

func (j *journal) option() client.Option {
	return client.WithDialOptions(grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			j.attempts = append(j.attempts, attempt{method, req})
			return j.answer(len(j.attempts), func() error { return call(ctx, method, req, reply, conn, opts...) })
		}))
}

func (j *journal) keys() (keys []string) {
	for _, a := range j.attempts {
		keys = append(keys, a.req.(interface{ GetIdempotencyKey() string }).GetIdempotencyKey())
	}
	return keys
}

// serve runs server in memory, so that testing/synctest knows when it is idle, and returns a client of it.
func serve(t testing.TB, server *grpc.Server, opts ...client.Option) *client.Client {
	t.Helper()
	const bufferBytes = 1 << 16
	listener := bufconn.Listen(bufferBytes)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
	return connect(t, "passthrough:///memory", append(opts, client.WithDialOptions(dial))...)
}

// invoke calls the method of that name.
func invoke(t testing.TB, c *client.Client, method string, req any) error {
	t.Helper()
	call := reflect.ValueOf(c).MethodByName(method)
	require.True(t, call.IsValid(), method)
	err, _ := call.Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.ValueOf(req)})[1].Interface().(error)
	return err
}
