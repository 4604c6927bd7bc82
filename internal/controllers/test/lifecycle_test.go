package test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	patience = 10 * time.Second
	tick     = 5 * time.Millisecond
)

func awaitLog(t *testing.T, s *testkit.Service, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(s.Log.String(), text) }, patience, tick, "log line with %s", text)
}

func withDeadDatabase(c *confpb.Bootstrap) {
	c.Data.Postgres.Url = "postgres://profile_app:canary-password@127.0.0.1:1/none?connect_timeout=1"
}

func TestGRPCHealthServesTheServerAndTheService(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	client := grpc_health_v1.NewHealthClient(s.Conn)
	for _, name := range []string{"", "profile.v1.ProfileService"} {
		answer, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: name})
		require.NoError(t, err, "probes have no identity")
		require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, answer.GetStatus())
	}
	_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "catalog.Other"})
	require.Equal(t, codes.NotFound, status.Code(err))
}

func TestAdminListenerAnswers(t *testing.T) {
	t.Parallel()
	s, _ := furnished(t)
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/metrics": 200, "/": 404, "/debug/pprof/": 404, "/debug/vars": 404, "/metrics/x": 404, "/livez/../x": 404,
	} {
		code, _ := admin(t, s, path)
		require.Equal(t, want, code, path)
	}
	_, text := admin(t, s, "/metrics")
	for _, name := range []string{
		"profile_request_duration_seconds_bucket", "profile_engagement_total", "profile_watch_progress_total",
		"profile_preferences_update_total", "profile_stats_drift_total", "go_goroutines", `method="/profile.v1.ProfileService/MutateFavorite"`, `code="OK"`,
	} {
		require.Contains(t, text, name)
	}
}

func TestWithoutItsDatabaseTheProcessLivesButIsNotReady(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, withDeadDatabase)
	code, _ := admin(t, s, "/livez")
	require.Equal(t, 200, code)
	code, body := admin(t, s, "/readyz")
	require.Equal(t, 503, code)
	require.NotContains(t, body, "canary")
	_, err := s.AsUser(testkit.NewUser()).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
	details := testkit.RequireError(t, err, codes.Unavailable, models.ReasonUnavailable)
	require.NotNil(t, details.Retry)
	require.NotContains(t, s.Log.String()+err.Error(), "canary-password")
}

func TestReadinessFollowsTheHealthState(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	probe := health.NewServer()
	server := servers.NewAdmin(servers.Listeners{Admin: listener}, s.Pool, probe, observability.NewMetrics())
	done := make(chan error, 1)
	go func() { done <- server.Start(t.Context()) }()
	url := "http://" + listener.Addr().String()
	code, _ := get(t, url+"/readyz")
	require.Equal(t, 200, code)
	probe.Shutdown()
	code, body := get(t, url+"/readyz")
	require.Equal(t, 503, code)
	require.Equal(t, "draining\n", body)
	code, _ = get(t, url+"/livez")
	require.Equal(t, 200, code)
	require.NoError(t, server.Stop(t.Context()))
	require.NoError(t, <-done, "a stop that was asked for is no error")
}

func TestDrainFinishesTheCallInFlight(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	held := testkit.HoldUser(t, s, user)
	done := make(chan error, 1)
	go func() {
		req := like()
		req.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
		_, err := s.AsUser(user).MutateFavorite(t.Context(), req)
		done <- err
	}()
	held.AwaitWaiter(t)
	require.NoError(t, s.App.Stop())
	addr := s.App.Listeners.GRPC.Addr().String()
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, patience, tick, "no new connections while draining")
	code, body := admin(t, s, "/readyz")
	require.Equal(t, 503, code, "the load balancer must see that it is leaving")
	require.Equal(t, "draining\n", body)
	select {
	case err := <-done:
		require.Failf(t, "finished early", "%v", err)
	default:
	}
	held.Release()
	require.NoError(t, <-done, "the call that was running is answered")
	require.Equal(t, int64(0), testkit.One[int64](t, s.DB, "SELECT like_count FROM profile.video_stats WHERE video_id = $1", videoID))
	awaitLog(t, s, `"msg":"stopped"`)
}

func TestDrainEndsWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	s, user := furnished(t)
	short := testkit.NewOn(t, s.DB, func(c *confpb.Bootstrap) {
		c.Server.Timeouts.Drain.Seconds, c.Server.Timeouts.Drain.Nanos = 0, 100_000_000
	})
	held := testkit.HoldUser(t, s, user)
	done := make(chan error, 1)
	go func() {
		_, err := short.AsUser(user).MutateFavorite(t.Context(), like())
		done <- err
	}()
	held.AwaitWaiter(t)
	require.NoError(t, short.App.Stop())
	require.Error(t, <-done, "it does not wait for ever")
	awaitLog(t, short, `"msg":"stopped"`)
}

// listed asks server reflection for the services of the listener.
func listed(t *testing.T, s *testkit.Service) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(s.Conn).ServerReflectionInfo(ctx)
	require.NoError(t, err)
	// A stream that is already refused shows it on Recv.
	_ = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	slices.Sort(names)
	return names, nil
}

func TestReflectionIsOffWhenConfiguredOff(t *testing.T) {
	t.Parallel()
	_, err := listed(t, testkit.New(t, func(c *confpb.Bootstrap) { c.Server.Reflection = false }))
	require.Equal(t, codes.Unimplemented, status.Code(err))
	names, err := listed(t, testkit.New(t, func(c *confpb.Bootstrap) { c.Server.Reflection = true }))
	require.NoError(t, err)
	require.Contains(t, names, "profile.v1.ProfileService")
}

func TestTheFrameworksOwnServicesAreNotServed(t *testing.T) {
	t.Parallel()
	s := testkit.New(t, func(c *confpb.Bootstrap) { c.Server.Reflection = false })
	for _, path := range []string{
		"/grpc.channelz.v1.Channelz/GetServers", "/grpc.channelz.v1.Channelz/GetTopChannels", "/kratos.api.Metadata/ListServices",
		"/kratos.api.Metadata/GetServiceDesc", "/profile.v1.ProfileService/NoSuchMethod", "/no.such.Service/Call",
	} {
		err := s.Conn.Invoke(t.Context(), path, &grpc_health_v1.HealthCheckRequest{}, &grpc_health_v1.HealthCheckRequest{})
		require.Equal(t, codes.Unimplemented, status.Code(err), path)
	}
}

func TestStartFailsWhenAnAddressIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	conf := &confpb.Bootstrap{Server: &confpb.Server{
		Grpc: &confpb.Server_Listener{Addr: "127.0.0.1:0"}, Admin: &confpb.Server_Listener{Addr: taken.Addr().String()},
	}}
	secure, err := servers.NewSecure(conf, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, _, err = servers.Listen(t.Context(), conf, secure)
	require.ErrorContains(t, err, "listen for admin")
}

// Not parallel: other tests' goroutines would count.
func TestNothingIsLeftRunningAfterStop(t *testing.T) { //nolint:paralleltest // see above
	testkit.Server(t) // the package's Postgres stays
	before := goleak.IgnoreCurrent()
	t.Run("serve and stop", func(t *testing.T) { //nolint:paralleltest // see above
		s, user := furnished(t)
		_, err := s.AsUser(user).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
		require.NoError(t, err)
		code, _ := admin(t, s, "/readyz")
		require.Equal(t, 200, code)
	})
	goleak.VerifyNone(t, before)
}
