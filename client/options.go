package client

import (
	"context"
	"crypto/tls"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/local"
)

// Option changes what New does by default.
type Option func(*settings)

// TokenSource gives the token of one attempt of a call, without "Bearer ". It is asked for every attempt, at the same
// time from many goroutines: it keeps tokens while they are valid. Its error is the call's, as UNAUTHENTICATED.
type TokenSource func(ctx context.Context) (token string, err error)

type settings struct {
	tls             *tls.Config
	tokens          TokenSource
	plaintext       bool
	plaintextTokens bool
	retries         int
	dial            []grpc.DialOption
}

// WithTokenSource sends `authorization: Bearer` with every call: over TLS, and without it on loopback only.
func WithTokenSource(tokens TokenSource) Option { return func(s *settings) { s.tokens = tokens } }

// WithTLS sets roots or a client certificate.
func WithTLS(config *tls.Config) Option { return func(s *settings) { s.tls = config } }

// WithInsecure connects without TLS. With a token source, connections that leave the machine then fail.
func WithInsecure() Option { return func(s *settings) { s.plaintext = true } }

// WithPlaintextTokens is WithInsecure that also sends tokens off the machine, for networks that encrypt by themselves.
func WithPlaintextTokens() Option {
	return func(s *settings) { s.plaintext, s.plaintextTokens = true, true }
}

// WithRetries sets how often a failed call is repeated at most. Default 4; 0: never.
func WithRetries(most int) Option { return func(s *settings) { s.retries = most } }

// WithDialOptions adds gRPC's own options, which go above those of this package. Interceptors see every attempt.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, opts...) }
}

func (s settings) security() ([]grpc.DialOption, error) {
	if s.plaintext && s.tls != nil {
		return nil, errors.New("options contradict each other: TLS is configured and switched off")
	}
	var transport credentials.TransportCredentials
	switch {
	case !s.plaintext:
		transport = credentials.NewTLS(s.tls)
	case s.tokens != nil && !s.plaintextTokens:
		transport = local.NewCredentials() // refuses peers that are not on this machine
	default:
		transport = insecure.NewCredentials()
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if s.tokens != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(bearer{s.tokens, !s.plaintext}))
	}
	return opts, nil
}

// bearer sends tokens; with encrypted, gRPC sees to it that the connection is.
type bearer struct {
	tokens    TokenSource
	encrypted bool
}

func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.tokens(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.encrypted }
