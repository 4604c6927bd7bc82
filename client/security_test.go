package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/test/testkit"
)

func token(value string) client.Option {
	return client.WithTokenSource(func(context.Context) (string, error) { return value, nil })
}

// witness is a service that remembers the credentials of its calls and says that it is busy the first time.
type witness struct {
	stub
	tokens []string
}

func newWitness() *witness {
	w := &witness{}
	w.answer = func(ctx context.Context, number int) error {
		md, _ := metadata.FromIncomingContext(ctx)
		w.tokens = append(w.tokens, md.Get("authorization")...)
		if number == 1 {
			return status.Error(codes.Unavailable, "busy")
		}
		return nil
	}
	return w
}

// listen serves it on loopback.
func (w *witness) listen(t testing.TB, opts ...grpc.ServerOption) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(opts...)
	profilev1.RegisterProfileServiceServer(server, w)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	return listener.Addr().String()
}

// certificate is one for 127.0.0.1, and who trusts it.
func certificate(t testing.TB) (grpc.ServerOption, *tls.Config) {
	t.Helper()
	source := httptest.NewUnstartedServer(nil)
	source.StartTLS()
	defer source.Close()
	roots := x509.NewCertPool()
	roots.AddCert(source.Certificate())
	return grpc.Creds(credentials.NewServerTLSFromCert(&source.TLS.Certificates[0])), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
}

func TestEveryAttemptHasATokenOverTLS(t *testing.T) {
	t.Parallel()
	identity, trust := certificate(t)
	service := newWitness()
	asked := 0
	c, err := client.New(service.listen(t, identity), client.WithTLS(trust), client.WithTokenSource(func(context.Context) (string, error) {
		asked++
		return "token-" + strconv.Itoa(asked), nil
	}))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()

	_, err = c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

	require.NoError(t, err)
	require.Equal(t, []string{"Bearer token-1", "Bearer token-2"}, service.tokens)
}

func TestTLSIsTheDefault(t *testing.T) {
	t.Parallel()
	identity, _ := certificate(t)
	for name, opts := range map[string][]grpc.ServerOption{"a service without TLS": nil, "a service nobody vouches for": {identity}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := newWitness()
			c, err := client.New(service.listen(t, opts...), token("secret"), client.WithRetries(0))
			require.NoError(t, err)
			defer func() { require.NoError(t, c.Close()) }()

			_, err = c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

			require.Equal(t, codes.Unavailable, status.Code(err))
			require.ErrorContains(t, err, "tls: ")
			require.Empty(t, service.calls)
		})
	}
}

func TestTokensWithoutTLSStayOnTheMachine(t *testing.T) {
	t.Parallel()
	service := testkit.New(t)
	user := testkit.NewUser().String()
	c := to(t, service, token(devstack.DevToken("writer")))
	resp, err := c.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{UserId: user, Profile: &profilev1.Profile{DisplayName: "Ada"}})
	require.NoError(t, err)
	require.Equal(t, user, resp.GetProfile().GetUserId())

	synctest.Test(t, func(t *testing.T) {
		away := newWitness()
		c := stubbed(t, &away.stub, token("secret")) // the address of a connection in memory is none of this machine

		_, err := c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

		require.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, err, "rejected connection to non-local address")
		require.Empty(t, away.calls)
	})
	synctest.Test(t, func(t *testing.T) {
		away := newWitness()
		c := stubbed(t, &away.stub, token("secret"), client.WithPlaintextTokens())

		_, err := c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

		require.NoError(t, err)
		require.Equal(t, []string{"Bearer secret", "Bearer secret"}, away.tokens)
	})
}

func TestATokenThatCannotBeHadIsTheErrorOfTheCall(t *testing.T) {
	t.Parallel()
	service := newWitness()
	c := connect(t, service.listen(t), client.WithTokenSource(func(context.Context) (string, error) {
		return "", errors.New("the metadata server is away")
	}))

	_, err := c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.ErrorContains(t, err, "the metadata server is away")
	require.Empty(t, service.calls)
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]client.Option{
		"TLS is configured and switched off": {client.WithInsecure(), client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13})},
		"require transport level security":   {token("secret"), client.WithDialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))},
	} {
		_, err := client.New("127.0.0.1:1", opts...)
		require.ErrorContains(t, err, "profile client: ")
		require.ErrorContains(t, err, name)
	}
}
