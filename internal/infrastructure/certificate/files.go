package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Files are paths of PEM files.
type Files struct {
	// Certificate has its chain behind it.
	Certificate, Key string
	// ClientAuthorities is empty when clients need no certificate.
	ClientAuthorities string
}

// contents is the text of each file.
type contents struct{ certificate, key, clients string }

// material is what a handshake needs. clients is nil when clients need no certificate.
type material struct {
	certificate tls.Certificate
	clients     *x509.CertPool
}

func (f Files) read() (c contents, err error) {
	for _, file := range []struct {
		setting, path string
		text          *string
	}{
		{"cert_file", f.Certificate, &c.certificate},
		{"key_file", f.Key, &c.key},
		{"client_ca_file", f.ClientAuthorities, &c.clients},
	} {
		if file.path == "" {
			continue
		}
		text, err := os.ReadFile(file.path)
		if err != nil {
			return contents{}, fmt.Errorf("server.tls.%s: %w", file.setting, withoutPath(err))
		}
		*file.text = string(text)
		if file.text == &c.clients && c.clients == "" {
			return contents{}, errors.New("server.tls.client_ca_file: is empty")
		}
	}
	return c, nil
}

// withoutPath: who puts a key itself where its path belongs must not find it in the log.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func (c contents) parse(now time.Time) (*material, error) {
	if _, err := certificatesIn(c.certificate); err != nil {
		return nil, fmt.Errorf("server.tls.cert_file: %w", err)
	}
	pair, err := tls.X509KeyPair([]byte(c.certificate), []byte(c.key))
	if err != nil {
		return nil, fmt.Errorf("server.tls.key_file: is not the key of server.tls.cert_file: %w", err)
	}
	if err := usable(pair.Leaf, now); err != nil {
		return nil, err
	}
	m := &material{certificate: pair}
	if c.clients == "" {
		return m, nil
	}
	authorities, err := certificatesIn(c.clients)
	if err != nil {
		return nil, fmt.Errorf("server.tls.client_ca_file: %w", err)
	}
	m.clients = x509.NewCertPool()
	for _, authority := range authorities {
		m.clients.AddCert(authority)
	}
	return m, nil
}

// certificatesIn is strict, because a file that is being written may end anywhere: the standard library would silently
// use what it can read.
func certificatesIn(text string) (found []*x509.Certificate, err error) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("holds something else than certificates")
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate that cannot be read: %w", err)
		}
		found = append(found, one)
	}
	switch {
	case strings.Contains(string(rest), "-----BEGIN"):
		return nil, errors.New("ends within a certificate")
	case len(found) == 0:
		return nil, errors.New("holds no certificate in PEM form")
	}
	return found, nil
}
