package servers

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/lingo-services/profile/internal/infrastructure/certificate"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// Secure is what a public listener speaks: TLS as server.tls says, or plaintext when it names no certificate. protocols
// are the ALPN names the server behind it understands. Handshakes run where the server first reads a connection.
type Secure func(l net.Listener, protocols ...string) net.Listener

// NewSecure reads the certificate. Errors name the setting that cannot be used.
func NewSecure(conf *confpb.Bootstrap, log *slog.Logger) (Secure, error) {
	c := conf.GetServer().GetTls()
	if c.GetCertFile() == "" {
		return plaintext, nil
	}
	files := certificate.Files{Certificate: c.GetCertFile(), Key: c.GetKeyFile(), ClientAuthorities: c.GetClientCaFile()}
	store, err := certificate.Open(files, c.GetClientNames(), time.Now, log)
	if err != nil {
		return nil, fmt.Errorf("open certificate: %w", err)
	}
	return func(l net.Listener, protocols ...string) net.Listener {
		return tls.NewListener(l, store.ServerConfig(protocols...))
	}, nil
}

func plaintext(l net.Listener, _ ...string) net.Listener { return l }
