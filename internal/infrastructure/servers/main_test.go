package servers_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/pki"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	patience = 20 * time.Second
	tick     = 50 * time.Millisecond
)

// inProduction are the settings of a sound production start on one machine.
func inProduction(c *confpb.Bootstrap) {
	c.Service.Environment = "production"
	c.Auth.InsecureDev, c.Auth.DevServices = false, nil
	c.Auth.Mode = "direct"
	c.Auth.Issuers = []*confpb.Auth_Issuer{
		{Issuer: "https://users.example.com", Principals: "users", Audiences: []string{"profile"}, Hs256Secret: "0123456789abcdef0123456789abcdef"},
	}
	c.Server.Reflection = false
	c.Cursor.Keys = []string{"0123456789abcdef0123456789abcdef"}
}

// withTLS shows pair from dir; authority nil asks clients for no certificate.
func withTLS(t *testing.T, dir string, pair pki.Pair, authority *pki.Authority) func(*confpb.Bootstrap) {
	t.Helper()
	certificate, key := pair.Write(t, dir)
	settings := &confpb.Server_TLS{CertFile: certificate, KeyFile: key}
	if authority != nil {
		settings.ClientCaFile, settings.ClientNames = pki.Write(t, dir, "ca.crt", authority.PEM()), []string{"gateway"}
	}
	return func(c *confpb.Bootstrap) { c.Server.Tls = settings }
}

func address(s *testkit.Service) string { return s.App.Listeners.GRPC.Addr().String() }

// dial connects with the first call.
func dial(t *testing.T, s *testkit.Service, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address(s), grpc.WithTransportCredentials(creds))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// overTLS trusts authority and shows certificates, if any, whatever the server says it wants.
func overTLS(authority *pki.Authority, certificates ...tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost"}
	if len(certificates) > 0 {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificates[0], nil }
	}
	return config
}

func health(t *testing.T, conn *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err
}
