package servers_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/pki"
)

// Three servers, and who gets through to them.
func TestT14_BootMatrix(t *testing.T) {
	t.Parallel()
	authority, clients, strangers := pki.NewAuthority(t, "servers"), pki.NewAuthority(t, "clients"), pki.NewAuthority(t, "clients")
	pair := authority.Issue(t)
	started := map[string]*testkit.Service{
		"plaintext": testkit.New(t, inProduction),
		"TLS":       testkit.New(t, inProduction, withTLS(t, t.TempDir(), pair, nil)),
		"mTLS":      testkit.New(t, inProduction, withTLS(t, t.TempDir(), pair, clients)),
	}
	gateway := clients.Issue(t, pki.Client("gateway")).TLS(t)
	version := func(c *tls.Config, lowest, highest uint16) *tls.Config {
		c.MinVersion, c.MaxVersion = lowest, highest
		return c
	}
	named := func(c *tls.Config, name string) *tls.Config {
		c.ServerName = name
		return c
	}
	for name, tc := range map[string]struct {
		server string
		client *tls.Config // nil is plaintext
		served bool
	}{
		"plaintext to plaintext":           {"plaintext", nil, true},
		"TLS to plaintext":                 {"plaintext", overTLS(authority), false},
		"plaintext to TLS":                 {"TLS", nil, false},
		"TLS 1.0":                          {"TLS", version(overTLS(authority), tls.VersionTLS10, tls.VersionTLS10), false},
		"TLS 1.1":                          {"TLS", version(overTLS(authority), tls.VersionTLS10, tls.VersionTLS11), false},
		"TLS 1.2":                          {"TLS", version(overTLS(authority), tls.VersionTLS12, tls.VersionTLS12), true},
		"TLS 1.3":                          {"TLS", version(overTLS(authority), tls.VersionTLS13, tls.VersionTLS13), true},
		"a client that trusts others":      {"TLS", overTLS(strangers), false},
		"a client that expects others":     {"TLS", named(overTLS(authority), "example.com"), false},
		"TLS with a needless certificate":  {"TLS", overTLS(authority, gateway), true},
		"plaintext to mTLS":                {"mTLS", nil, false},
		"mTLS without a certificate":       {"mTLS", overTLS(authority), false},
		"mTLS of an unknown authority":     {"mTLS", overTLS(authority, strangers.Issue(t, pki.Client("gateway")).TLS(t)), false},
		"mTLS of the right client":         {"mTLS", overTLS(authority, gateway), true},
		"mTLS 1.2 of the right client":     {"mTLS", version(overTLS(authority, gateway), tls.VersionTLS12, tls.VersionTLS12), true},
		"mTLS of another name":             {"mTLS", overTLS(authority, clients.Issue(t, pki.Client("billing")).TLS(t)), false},
		"mTLS with an expired certificate": {"mTLS", overTLS(authority, clients.Issue(t, pki.Client("gateway"), pki.Expired).TLS(t)), false},
		"mTLS with one of tomorrow":        {"mTLS", overTLS(authority, clients.Issue(t, pki.Client("gateway"), pki.Early).TLS(t)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			creds := insecure.NewCredentials()
			if tc.client != nil {
				creds = credentials.NewTLS(tc.client)
			}
			conn := dial(t, started[tc.server], creds)
			if tc.served {
				require.NoError(t, health(t, conn))
				// Nobody is known by a connection: callers show who they are besides.
				_, err := profilev1.NewProfileServiceClient(conn).GetProfile(t.Context(), &profilev1.GetProfileRequest{})
				require.Equal(t, codes.Unauthenticated, status.Code(err))
				return
			}
			require.Equal(t, codes.Unavailable, status.Code(health(t, conn)))
		})
	}
}

func TestT14_AStartWithFilesThatCannotBeUsedFails(t *testing.T) {
	t.Parallel()
	authority := pki.NewAuthority(t, "servers")
	for name, tc := range map[string]struct {
		change func(dir string, c *confpb.Server_TLS)
		want   string
	}{
		"no certificate":      {func(_ string, c *confpb.Server_TLS) { c.CertFile += "x" }, "server.tls.cert_file: no such file"},
		"no key":              {func(_ string, c *confpb.Server_TLS) { c.KeyFile += "x" }, "server.tls.key_file: no such file"},
		"a folder":            {func(dir string, c *confpb.Server_TLS) { c.ClientCaFile = dir }, "server.tls.client_ca_file: is a directory"},
		"another's key":       {func(dir string, _ *confpb.Server_TLS) { pki.Write(t, dir, "tls.key", authority.Issue(t).Key) }, "server.tls.key_file: is not the key"},
		"an expired one":      {func(dir string, _ *confpb.Server_TLS) { authority.Issue(t, pki.Expired).Write(t, dir) }, "server.tls.cert_file: the certificate expired"},
		"no PEM authority":    {func(dir string, c *confpb.Server_TLS) { c.ClientCaFile = pki.Write(t, dir, "ca", []byte("x")) }, "server.tls.client_ca_file: holds no"},
		"a secret for a path": {func(_ string, c *confpb.Server_TLS) { c.KeyFile = "canary-f00d-secret" }, "server.tls.key_file: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, conf := t.TempDir(), &confpb.Bootstrap{Server: &confpb.Server{}}
			withTLS(t, dir, authority.Issue(t), nil)(conf)
			tc.change(dir, conf.GetServer().GetTls())
			_, err := servers.NewSecure(conf, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "canary")
			require.NotContains(t, err.Error(), dir)
		})
	}
}

// What wraps the gRPC listener wraps one of an HTTP server as well.
func TestT14_SecureFitsHTTPServers(t *testing.T) {
	t.Parallel()
	authority, clients := pki.NewAuthority(t, "servers"), pki.NewAuthority(t, "clients")
	conf := &confpb.Bootstrap{Server: &confpb.Server{}}
	withTLS(t, t.TempDir(), authority.Issue(t), clients)(conf)
	secure, err := servers.NewSecure(conf, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{
		ReadHeaderTimeout: patience,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
	}
	done := testkit.Later(func() error { return server.Serve(secure(listener, "h2", "http/1.1")) })
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	gateway := clients.Issue(t, pki.Client("gateway")).TLS(t)
	for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		transport := &http.Transport{TLSClientConfig: overTLS(authority, gateway), Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetHTTP2(http2)
		require.Equal(t, protocol, body(t, transport, "https://"+listener.Addr().String()))
		transport.CloseIdleConnections()
	}
}

func body(t *testing.T, transport http.RoundTripper, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

// rotations of the certificate, each with the authorities of clients widened and narrowed again.
const rotations = 4

// Callers that keep their connection and callers that make a new one for each call, while the files change.
func TestT14_RotationFailsNoCall(t *testing.T) {
	t.Parallel()
	authority, clients, next := pki.NewAuthority(t, "servers"), pki.NewAuthority(t, "clients"), pki.NewAuthority(t, "new clients")
	dir := t.TempDir()
	s := testkit.New(t, withTLS(t, dir, authority.Issue(t), clients))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	gateway := clients.Issue(t, pki.Client("gateway")).TLS(t)
	newcomer := next.Issue(t, pki.Client("gateway")).TLS(t)
	var calls, connections atomic.Int64

	work := func(lasting bool) error {
		var conn *grpc.ClientConn
		user := testkit.NewUser()
		for ctx.Err() == nil {
			if conn == nil {
				var err error
				if conn, err = grpc.NewClient(address(s), grpc.WithTransportCredentials(credentials.NewTLS(overTLS(authority, gateway)))); err != nil {
					return err
				}
				connections.Add(1)
			}
			call := metadata.AppendToOutgoingContext(t.Context(), "x-apigateway-api-userinfo", devstack.UserInfo(user.String()))
			video := testkit.NewVideo()
			_, err := profilev1.NewProfileServiceClient(conn).MutateFavorite(call, &profilev1.MutateFavoriteRequest{
				VideoId: video.String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE, Action: profilev1.FavoriteAction_FAVORITE_ACTION_ADD,
			})
			if err != nil {
				return errors.Join(err, conn.Close())
			}
			calls.Add(1)
			if !lasting {
				if err := conn.Close(); err != nil {
					return err
				}
				conn = nil
			}
		}
		if conn != nil {
			return conn.Close()
		}
		return nil
	}
	const callers = 8
	failures := make(chan error, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			if err := work(i%2 == 0); err != nil {
				failures <- err
			}
		})
	}
	logged := func(text string) int { return strings.Count(s.Log.String(), text) }
	for range rotations {
		pair := authority.Issue(t)
		pki.Write(t, dir, "ca.crt", append(clients.PEM(), next.PEM()...))
		pair.Write(t, dir)
		want := pair.TLS(t).Leaf.SerialNumber
		require.Eventually(t, func() bool {
			conn, err := tls.Dial("tcp", address(s), overTLS(authority, newcomer))
			if err != nil {
				return false
			}
			defer conn.Close()
			return conn.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(want) == 0
		}, patience, tick)
		// A broken file in between, and callers that meet it.
		pki.Write(t, dir, "tls.crt", pair.Certificate[:100])
		pki.Write(t, dir, "ca.crt", clients.PEM())
		kept, made := logged("from before stays in use"), connections.Load()
		require.Eventually(t, func() bool {
			return logged("from before stays in use") > kept && connections.Load() >= made+2*callers
		}, patience, tick)
	}
	stop()
	group.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, logged("certificate replaced"), rotations)
	t.Logf("%d calls over %d connections, %d rotations, 0 failed", calls.Load(), connections.Load(), rotations)
}
