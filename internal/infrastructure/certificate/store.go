// Package certificate keeps what TLS listeners show and whom they let in as the files say now, without a restart.
package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often at most the files are read again, by the next handshake.
const lookEvery = time.Second

// errStranger is all that a client with a good certificate for another name is told.
var errStranger = errors.New("no name of the client certificate is admitted")

// Store is a certificate with its key, and the authorities of client certificates, as last read from their files.
// It is safe for concurrent use.
type Store struct {
	files Files
	names []string
	now   func() time.Time
	log   *slog.Logger
	inUse atomic.Pointer[material]

	// mu guards what one handshake at a time does: to look at the files.
	mu      sync.Mutex
	looked  time.Time
	seen    contents
	problem string
}

// Open reads the files. With client authorities, a client needs a certificate with one of names: a DNS name, URI, IP or
// e-mail address exactly as the certificate has it. Errors name the setting, never what is in it.
func Open(files Files, names []string, now func() time.Time, log *slog.Logger) (*Store, error) {
	s := &Store{files: files, names: names, now: now, log: log, looked: now()}
	text, err := files.read()
	if err != nil {
		return nil, err
	}
	m, err := text.parse(s.looked)
	if err != nil {
		return nil, err
	}
	s.seen = text
	s.inUse.Store(m)
	return s, nil
}

// ServerConfig is for a listener that speaks protocols, the ALPN names in order of preference. Every handshake uses
// the newest files that were good; connections that are open stay.
func (s *Store) ServerConfig(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.handshake(protocols), nil
		},
	}
}

func (s *Store) handshake(protocols []string) *tls.Config {
	s.look()
	m := s.inUse.Load()
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, Certificates: []tls.Certificate{m.certificate}, Time: s.now}
	if m.clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, m.clients
		config.VerifyConnection = s.admit
	}
	return config
}

// look reads the files when that is due. One handshake does; the others do not wait for the disk.
func (s *Store) look() {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.looked) < lookEvery {
		return
	}
	s.looked = now
	if err := s.reload(now); err != nil {
		if s.problem != err.Error() { // once, not every second
			s.log.Error("the certificate from before stays in use: its files have changed and cannot be used", "error", err)
		}
		s.problem = err.Error()
		return
	}
	s.problem = ""
}

func (s *Store) reload(now time.Time) error {
	text, err := s.files.read()
	if err != nil || text == s.seen {
		return err
	}
	m, err := text.parse(now)
	if err != nil {
		return err
	}
	s.seen = text
	s.inUse.Store(m)
	s.log.Info("certificate replaced: new connections use what its files say now")
	return nil
}

func (s *Store) admit(state tls.ConnectionState) error {
	// The chain has been verified: there is a leaf.
	if slices.ContainsFunc(namesOf(state.PeerCertificates[0]), func(name string) bool { return slices.Contains(s.names, name) }) {
		return nil
	}
	s.log.Warn("connection refused: its client certificate is good, but for no name in server.tls.client_names")
	return errStranger
}

func namesOf(leaf *x509.Certificate) []string {
	names := slices.Concat(leaf.DNSNames, leaf.EmailAddresses)
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// usable reports why a certificate cannot be shown at a time.
func usable(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("server.tls.cert_file: the certificate expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("server.tls.cert_file: the certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
