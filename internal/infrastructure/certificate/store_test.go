package certificate_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/infrastructure/certificate"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/pki"
)

// server is a store on files of its own, with a clock that only moves when it is told to.
type server struct {
	config *tls.Config
	dir    string
	ahead  atomic.Int64
	log    *testkit.Buffer
}

func (s *server) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// lookAgain makes the next handshake read the files.
func (s *server) lookAgain() { s.ahead.Add(int64(time.Second)) }

func files(dir string) certificate.Files {
	return certificate.Files{
		Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ClientAuthorities: filepath.Join(dir, "ca.crt"),
	}
}

// open serves pair to clients of authority that are named gateway; authority nil asks for no certificate.
func open(t *testing.T, pair pki.Pair, authority *pki.Authority) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), log: &testkit.Buffer{}}
	pair.Write(t, s.dir)
	where, names := files(s.dir), []string{"gateway", "spiffe://prod/gateway"}
	if authority == nil {
		where.ClientAuthorities, names = "", nil
	} else {
		pki.Write(t, s.dir, "ca.crt", authority.PEM())
	}
	log, err := observability.NewLogger(s.log, "info")
	require.NoError(t, err)
	store, err := certificate.Open(where, names, s.now, log)
	require.NoError(t, err)
	s.config = store.ServerConfig("h2")
	return s
}

// shake is one handshake, both sides to their end; state is the client's.
func (s *server) shake(t *testing.T, client *tls.Config) (state tls.ConnectionState, serverErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	done := testkit.Later(func() error {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		return tls.Server(conn, s.config).HandshakeContext(t.Context())
	})
	client.ServerName = "localhost"
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err == nil {
		state = conn.ConnectionState()
		// The server's verdict about a client's certificate, and tickets, come after the client's handshake.
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	return state, <-done
}

func shown(t *testing.T, state tls.ConnectionState) string {
	t.Helper()
	require.NotEmpty(t, state.PeerCertificates)
	return state.PeerCertificates[0].SerialNumber.String()
}

func serialOf(t *testing.T, pair pki.Pair) string {
	t.Helper()
	return pair.TLS(t).Leaf.SerialNumber.String()
}

func TestT14_NewFilesAreUsedWithoutARestart(t *testing.T) {
	t.Parallel()
	authority := pki.NewAuthority(t, "servers")
	first, second := authority.Issue(t), authority.Issue(t)
	s := open(t, first, nil)
	client := &tls.Config{RootCAs: authority.Pool()}

	state, err := s.shake(t, client)
	require.NoError(t, err)
	require.Equal(t, serialOf(t, first), shown(t, state))
	require.Equal(t, "h2", func() string {
		c := client.Clone()
		c.NextProtos = []string{"h2"}
		st, _ := s.shake(t, c)
		return st.NegotiatedProtocol
	}())

	second.Write(t, s.dir)
	state, err = s.shake(t, client)
	require.NoError(t, err)
	require.Equal(t, serialOf(t, first), shown(t, state), "the files are not read with every handshake")
	s.lookAgain()
	state, err = s.shake(t, client)
	require.NoError(t, err)
	require.Equal(t, serialOf(t, second), shown(t, state))
	require.Equal(t, 1, strings.Count(s.log.String(), "certificate replaced"))
}

func TestT14_FilesThatCannotBeUsedChangeNothing(t *testing.T) {
	t.Parallel()
	authority, clients := pki.NewAuthority(t, "servers"), pki.NewAuthority(t, "clients")
	gateway := clients.Issue(t, pki.Client("gateway")).TLS(t)
	first, other := authority.Issue(t), authority.Issue(t)
	for name, tc := range map[string]struct {
		spoil func(dir string)
		want  string
	}{
		"another key":         {func(dir string) { pki.Write(t, dir, "tls.key", other.Key) }, "server.tls.key_file"},
		"another certificate": {func(dir string) { pki.Write(t, dir, "tls.crt", other.Certificate) }, "server.tls.key_file"},
		"half a certificate":  {func(dir string) { pki.Write(t, dir, "tls.crt", other.Certificate[:200]) }, "server.tls.cert_file: ends within"},
		"half a chain": {func(dir string) {
			pki.Write(t, dir, "tls.crt", append(first.Certificate, authority.PEM()[:100]...))
		}, "server.tls.cert_file: ends within"},
		"no certificate":       {func(dir string) { pki.Write(t, dir, "tls.crt", nil) }, "server.tls.cert_file: holds no"},
		"a key as certificate": {func(dir string) { pki.Write(t, dir, "tls.crt", first.Key) }, "server.tls.cert_file: holds something else"},
		"an expired one":       {func(dir string) { authority.Issue(t, pki.Expired).Write(t, dir) }, "server.tls.cert_file: the certificate expired"},
		"one of tomorrow":      {func(dir string) { authority.Issue(t, pki.Early).Write(t, dir) }, "server.tls.cert_file: the certificate is not valid before"},
		"no file":              {func(dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "tls.key"))) }, "server.tls.key_file: no such file"},
		"no authorities":       {func(dir string) { pki.Write(t, dir, "ca.crt", nil) }, "server.tls.client_ca_file: is empty"},
		"half an authority":    {func(dir string) { pki.Write(t, dir, "ca.crt", clients.PEM()[:100]) }, "server.tls.client_ca_file: ends within"},
		"broken authority": {func(dir string) {
			pki.Write(t, dir, "ca.crt", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
		}, "server.tls.client_ca_file: holds a certificate that cannot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, first, clients)
			tc.spoil(s.dir)
			client := &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{gateway}}
			for range 3 {
				s.lookAgain()
				state, err := s.shake(t, client)
				require.NoError(t, err)
				require.Equal(t, serialOf(t, first), shown(t, state))
			}
			require.Equal(t, 1, strings.Count(s.log.String(), "from before stays in use"), "once: %s", s.log)
			require.Contains(t, s.log.String(), `"level":"ERROR"`)
			require.Contains(t, s.log.String(), tc.want)
			require.NotContains(t, s.log.String(), s.dir)

			_, err := certificate.Open(files(s.dir), []string{"gateway"}, time.Now, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, tc.want, "a start with them fails")

			other.Write(t, s.dir)
			pki.Write(t, s.dir, "ca.crt", clients.PEM())
			s.lookAgain()
			state, err := s.shake(t, client)
			require.NoError(t, err)
			require.Equal(t, serialOf(t, other), shown(t, state), "mended")
		})
	}
}

func TestT14_ClientsAreKnownByAuthorityAndName(t *testing.T) {
	t.Parallel()
	authority, clients, strangers := pki.NewAuthority(t, "servers"), pki.NewAuthority(t, "clients"), pki.NewAuthority(t, "clients")
	s := open(t, authority.Issue(t), clients)
	for name, tc := range map[string]struct {
		pair pki.Pair
		want string
	}{
		"the gateway":          {clients.Issue(t, pki.Client("gateway")), ""},
		"by URI":               {clients.Issue(t, pki.Client("other"), pki.URI(t, "spiffe://prod/gateway")), ""},
		"another name":         {clients.Issue(t, pki.Client("gateway.example.com")), "no name of the client certificate"},
		"another case":         {clients.Issue(t, pki.Client("Gateway")), "no name of the client certificate"},
		"a longer URI":         {clients.Issue(t, pki.Client("other"), pki.URI(t, "spiffe://prod/gateway/x")), "no name of the client certificate"},
		"common name only":     {clients.Issue(t, pki.Client("other"), func(c *x509.Certificate) { c.Subject.CommonName = "gateway" }), "no name of the client certificate"},
		"an unknown authority": {strangers.Issue(t, pki.Client("gateway")), "certificate signed by unknown authority"},
		"the servers' one":     {authority.Issue(t, pki.Client("gateway")), "certificate signed by unknown authority"},
		"expired":              {clients.Issue(t, pki.Client("gateway"), pki.Expired), "expired"},
		"of tomorrow":          {clients.Issue(t, pki.Client("gateway"), pki.Early), "not yet valid"},
		"of a server": {clients.Issue(t, pki.Client("gateway"), func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), "incompatible key usage"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			_, err := s.shake(t, &tls.Config{RootCAs: authority.Pool(), MaxVersion: version, GetClientCertificate: showing(tc.pair.TLS(t))})
			if tc.want == "" {
				require.NoError(t, err, name)
			} else {
				require.ErrorContains(t, err, tc.want, name)
			}
		}
	}
	_, err := s.shake(t, &tls.Config{RootCAs: authority.Pool()})
	require.ErrorContains(t, err, "client didn't provide a certificate")
	require.Contains(t, s.log.String(), "for no name in server.tls.client_names")
}

// showing is what a client does that shows its certificate even to a server that does not ask for its authority.
func showing(pair tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
}

func TestT14_ARemovedAuthorityLetsNobodyInAgain(t *testing.T) {
	t.Parallel()
	authority, old, next := pki.NewAuthority(t, "servers"), pki.NewAuthority(t, "old"), pki.NewAuthority(t, "new")
	s := open(t, authority.Issue(t), old)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		pki.Write(t, s.dir, "ca.crt", old.PEM())
		s.lookAgain()
		// A session does not outlive its authority.
		of := func(a *pki.Authority) *tls.Config {
			return &tls.Config{
				RootCAs: authority.Pool(), MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4),
				GetClientCertificate: showing(a.Issue(t, pki.Client("gateway")).TLS(t)),
			}
		}
		before, after := of(old), of(next)
		_, err := s.shake(t, before)
		require.NoError(t, err)
		_, err = s.shake(t, after)
		require.Error(t, err)

		pki.Write(t, s.dir, "ca.crt", append(old.PEM(), next.PEM()...))
		s.lookAgain()
		state, err := s.shake(t, before)
		require.NoError(t, err)
		require.True(t, state.DidResume)
		_, err = s.shake(t, after)
		require.NoError(t, err)
		pki.Write(t, s.dir, "ca.crt", next.PEM())
		s.lookAgain()
		_, err = s.shake(t, before)
		require.ErrorContains(t, err, "unknown authority")
		_, err = s.shake(t, after)
		require.NoError(t, err)
	}
}

func TestT14_VersionsBelow12AreRefused(t *testing.T) {
	t.Parallel()
	authority := pki.NewAuthority(t, "servers")
	s := open(t, authority.Issue(t), nil)
	for version, served := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		_, err := s.shake(t, &tls.Config{RootCAs: authority.Pool(), MinVersion: version, MaxVersion: version})
		if served {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "unsupported versions")
		}
	}
}

// Whatever the files hold in whatever order, a handshake shows a certificate that was good at some time, with its key.
func TestT14_AnyOrderOfWritesServes(t *testing.T) {
	t.Parallel()
	authority := pki.NewAuthority(t, "servers")
	pairs := []pki.Pair{authority.Issue(t), authority.Issue(t), authority.Issue(t)}
	rapid.Check(t, func(r *rapid.T) {
		s := open(t, pairs[0], nil)
		last := pairs[0] // the newest complete pair the store has seen
		certificateOf, keyOf := 0, 0
		for range rapid.IntRange(1, 5).Draw(r, "writes") {
			switch i := rapid.IntRange(0, len(pairs)-1).Draw(r, "pair"); rapid.SampledFrom([]string{"certificate", "key", "half"}).Draw(r, "write") {
			case "certificate":
				pki.Write(t, s.dir, "tls.crt", pairs[i].Certificate)
				certificateOf = i
			case "key":
				pki.Write(t, s.dir, "tls.key", pairs[i].Key)
				keyOf = i
			case "half":
				pki.Write(t, s.dir, "tls.crt", pairs[i].Certificate[:len(pairs[i].Certificate)/2])
				certificateOf = -1
			}
			if certificateOf == keyOf {
				last = pairs[keyOf]
			}
			s.lookAgain()
			state, err := s.shake(t, &tls.Config{RootCAs: authority.Pool()})
			require.NoError(r, err)
			require.Equal(r, serialOf(t, last), shown(t, state))
		}
	})
}
