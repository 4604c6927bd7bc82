package servers_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/emptypb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/pki"
)

// frames is a connection of somebody who writes what no gRPC client would.
type frames struct {
	net.Conn
	t      *testing.T
	out    bytes.Buffer
	framer *http2.Framer
	next   uint32
}

func framesTo(t *testing.T, conn net.Conn) *frames {
	t.Helper()
	f := &frames{Conn: conn, t: t, next: 1}
	t.Cleanup(func() { _ = conn.Close() })
	f.framer = http2.NewFramer(&f.out, conn)
	f.out.WriteString(http2.ClientPreface)
	require.NoError(t, f.framer.WriteSettings())
	return f
}

func dialled(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	return conn
}

// begin opens a stream for a call of method.
func (f *frames) begin(method string) (stream uint32) {
	f.t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "abuse"}, {"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		require.NoError(f.t, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
	}
	stream, f.next = f.next, f.next+2
	require.NoError(f.t, f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}))
	return stream
}

func (f *frames) reset(stream uint32) {
	f.t.Helper()
	require.NoError(f.t, f.framer.WriteRSTStream(stream, http2.ErrCodeCancel))
}

// flush sends all that was written. Whoever is being closed may not get rid of it.
func (f *frames) flush() error {
	_, err := f.Write(f.out.Bytes())
	f.out.Reset()
	return err
}

// answered reads up to the acknowledgement of a ping, behind all that was sent before; an error is the connection's end.
func (f *frames) answered() error {
	f.t.Helper()
	require.NoError(f.t, f.framer.WritePing(false, [8]byte{1}))
	if err := f.flush(); err != nil {
		return err
	}
	require.NoError(f.t, f.SetReadDeadline(time.Now().Add(patience)))
	for {
		frame, err := f.framer.ReadFrame()
		if err != nil {
			return err
		}
		if ping, isPing := frame.(*http2.PingFrame); isPing && ping.IsAck() {
			return nil
		}
	}
}

// requireClosed waits for the connection's end.
func (f *frames) requireClosed() {
	f.t.Helper()
	_ = f.flush()
	require.NoError(f.t, f.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, f)
	var netErr net.Error
	require.False(f.t, errors.As(err, &netErr) && netErr.Timeout(), "the connection is still open")
}

// still is a guarded server that admits every call, and whose clock stands still until it is moved.
func still(t *testing.T) (address string, clock, closed *atomic.Int64) {
	t.Helper()
	return guardedServer(t, func(ctx context.Context, _ *tap.Info) (context.Context, error) { return ctx, nil })
}

func guardedServer(t *testing.T, arrive tap.ServerInHandle) (address string, clock, closed *atomic.Int64) {
	t.Helper()
	clock, closed = &atomic.Int64{}, &atomic.Int64{}
	guarded := servers.Guarded(
		func() time.Time { return time.Unix(0, clock.Load()) },
		func(reason string) {
			if reason == "rapid_reset" {
				closed.Add(1)
			}
		},
		arrive,
	)
	pings := grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 1, PermitWithoutStream: true}) // the test's own
	server := grpc.NewServer(append(guarded, pings)...)
	grpc_health_v1.RegisterHealthServer(server, grpchealth.NewServer())
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := testkit.Later(func() error { return server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String(), clock, closed
}

const check = grpc_health_v1.Health_Check_FullMethodName

func (f *frames) abandon(calls int) {
	f.t.Helper()
	for range calls {
		f.reset(f.begin(check))
	}
}

// A caller whose calls are refused where they come in has abandoned nothing.
func TestT13_CallsThatAreRefusedAreNotAbandoned(t *testing.T) {
	t.Parallel()
	address, _, closed := guardedServer(t, func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		return ctx, status.Error(codes.ResourceExhausted, "not now")
	})
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	for range 2 * servers.AbandonedAtMost {
		_, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.Equal(t, codes.ResourceExhausted, status.Code(err))
		require.Equal(t, "not now", status.Convert(err).Message())
	}
	require.Zero(t, closed.Load())
}

func TestT13_AConnectionMayAbandonSoManyCallsAndNotOneMore(t *testing.T) {
	t.Parallel()
	address, clock, closed := still(t)
	f := framesTo(t, dialled(t, address))
	f.abandon(servers.AbandonedAtFirst)
	require.NoError(t, f.answered())
	for range 20 { // as fast as is allowed, for as long as one likes
		clock.Add(int64(time.Second / 10))
		f.abandon(servers.AbandonedPerSecond / 10)
		require.NoError(t, f.answered())
	}
	clock.Add(int64(time.Hour))
	f.abandon(servers.AbandonedAtMost)
	require.NoError(t, f.answered())
	require.Zero(t, closed.Load())
	f.abandon(1)
	f.requireClosed()
	require.Equal(t, int64(1), closed.Load())
}

// Whoever is cut off gains nothing by coming again.
func TestT13_ANewConnectionMayAbandonLess(t *testing.T) {
	t.Parallel()
	require.Less(t, servers.AbandonedAtFirst, servers.AbandonedAtMost)
	address, _, closed := still(t)
	for i := range int64(2) {
		f := framesTo(t, dialled(t, address))
		f.abandon(servers.AbandonedAtFirst)
		require.NoError(t, f.answered())
		f.abandon(1)
		f.requireClosed()
		require.Equal(t, i+1, closed.Load())
	}
}

// A call whose request came is no abandoned one, whether it is waited for or not: a gateway whose callers lose their
// patience is not cut off.
func TestT13_CallsWhoseRequestCameDoNotCount(t *testing.T) {
	t.Parallel()
	address, _, closed := still(t)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	client := grpc_health_v1.NewHealthClient(conn)
	const callers, each = 8, 5 * servers.AbandonedAtMost / 8
	for _, err := range testkit.Together(callers, func(int) error {
		for range each {
			if _, err := client.Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	require.Zero(t, closed.Load())
}

// Calls of methods that there are none of are like others: who guesses names is told so each time, and who gives up is
// cut off.
func TestT13_CallsOfUnknownMethodsCountAsOthersDo(t *testing.T) {
	t.Parallel()
	const unknown = "/lingo.Nothing/AtAll"
	address, _, closed := still(t)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	for range 2 * servers.AbandonedAtMost {
		err := conn.Invoke(t.Context(), unknown, &emptypb.Empty{}, &emptypb.Empty{})
		require.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
	}
	require.Zero(t, closed.Load())
	f := framesTo(t, dialled(t, address))
	for range servers.AbandonedAtFirst + 1 {
		f.reset(f.begin(unknown))
	}
	f.requireClosed()
	require.Equal(t, int64(1), closed.Load())
}

// closedConnections is how many the service says it closed.
func closedConnections(t *testing.T, s *testkit.Service) (count float64) {
	t.Helper()
	families, err := s.Metrics.Registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "profile_grpc_connections_closed_total" {
			require.Equal(t, "rapid_reset", family.GetMetric()[0].GetLabel()[0].GetValue())
			count = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return count
}

// A rapid reset ends its connection, with TLS or without, and nobody else's.
func TestT13_ARapidResetIsCutOff(t *testing.T) {
	t.Parallel()
	authority := pki.NewAuthority(t, "servers")
	encrypted := overTLS(authority)
	encrypted.NextProtos = []string{"h2"}
	for name, tc := range map[string]struct {
		service *testkit.Service
		shake   func(net.Conn) net.Conn
		others  credentials.TransportCredentials
	}{
		"plaintext": {testkit.New(t), func(c net.Conn) net.Conn { return c }, insecure.NewCredentials()},
		"TLS": {
			testkit.New(t, inProduction, withTLS(t, t.TempDir(), authority.Issue(t), nil)),
			func(c net.Conn) net.Conn { return tls.Client(c, encrypted) }, credentials.NewTLS(overTLS(authority)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := dial(t, tc.service, tc.others)
			require.NoError(t, health(t, other))
			f := framesTo(t, tc.shake(dialled(t, address(tc.service))))
			const streams = 10_000 // handled in less than the ten seconds in which as many would be allowed
			for range streams {
				f.reset(f.begin(profilev1.ProfileService_GetProfile_FullMethodName))
			}
			f.requireClosed()
			require.InDelta(t, 1, closedConnections(t, tc.service), 0)
			require.NoError(t, health(t, other))
		})
	}
}

// Callers who give up while their calls are at work, and callers who are refused, however many, stay connected.
func TestT13_CallersWithoutPatienceStayConnected(t *testing.T) {
	t.Parallel()
	s, user := testkit.New(t), testkit.NewUser()
	like := func(ctx context.Context, as profilev1.ProfileServiceClient) error {
		_, err := as.MutateFavorite(ctx, &profilev1.MutateFavoriteRequest{
			VideoId: "0190d5a0-3333-7abc-8def-00000000abcd", FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
			Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
		})
		return err
	}
	require.NoError(t, like(t.Context(), s.AsUser(user)))
	held := testkit.HoldUser(t, s, user)
	const callers, each, refused = 50, 5, 100
	for _, err := range testkit.Together(callers, func(int) error {
		for range each {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			err := like(ctx, s.AsUser(user))
			cancel()
			// Of one user only so many may wait at a time.
			if code := status.Code(err); code != codes.DeadlineExceeded && code != codes.ResourceExhausted {
				return fmt.Errorf("a call that has to wait: %w", err)
			}
		}
		for range refused {
			if err := like(context.Background(), s.As()); status.Code(err) != codes.Unauthenticated {
				return fmt.Errorf("a stranger's call: %w", err)
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	held.Release()
	require.NoError(t, like(t.Context(), s.AsUser(user)))
	require.Zero(t, closedConnections(t, s))
}
