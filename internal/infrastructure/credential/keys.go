package credential

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// Keys say where an issuer's keys are: the first that is set. The zero value asks the issuer's discovery document.
type Keys struct {
	// Secret is shared with the issuer, which signs with HS256.
	Secret string
	// Set is a JSON Web Key Set.
	Set string
	// File has one; it is read again like a URL.
	File string
	// URL serves one.
	URL string
}

// keySource finds the key of a kid; an empty one is enough when there is only one key. Errors: errKey, errUnavailable.
type keySource interface {
	find(ctx context.Context, kid string) (signingKey, error)
}

func (k Keys) open(issuer string, fetches *fetches, o Options) (keySource, error) {
	switch {
	case k.Secret != "":
		key, err := jwk.Import([]byte(k.Secret))
		if err != nil {
			return nil, errNoKeys
		}
		return sharedSecret{signingKey{jwa.HS256(), key}}, nil
	case k.Set != "":
		return parseKeys([]byte(k.Set))
	}
	ring := newRing(issuer, k.load(issuer), fetches, o)
	if !o.PlatformVerified {
		ring.refresh(0) // so that the first call need not wait
	}
	return ring, nil
}

// sharedSecret is an issuer's only key, whatever the kid says.
type sharedSecret struct{ key signingKey }

func (s sharedSecret) find(context.Context, string) (signingKey, error) { return s.key, nil }

// keySet are the keys of a JSON Web Key Set by their kid.
type keySet map[string]signingKey

func (s keySet) find(_ context.Context, kid string) (signingKey, error) {
	if key, ok := s[kid]; ok {
		return key, nil
	}
	if kid == "" && len(s) == 1 {
		for _, only := range s {
			return only, nil
		}
	}
	return signingKey{}, errKey
}

var errNoKeys = errors.New("not a JSON Web Key Set with a usable key")

// parseKeys takes the public signing keys of a JSON Web Key Set and passes over everything else. Of several keys with
// one kid it takes the first.
func parseKeys(document []byte) (keySet, error) {
	set, err := jwk.Parse(document, jwk.WithIgnoreParseError(true))
	if err != nil {
		return nil, errNoKeys
	}
	keys := keySet{}
	for i := range set.Len() {
		key, _ := set.Key(i)
		algorithm, public, ok := pin(key)
		kid, _ := key.KeyID()
		if _, repeated := keys[kid]; ok && !repeated {
			keys[kid] = signingKey{algorithm, public}
		}
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}

// pin decides the one algorithm of a key: its own alg when its kind allows that, else the usual one of its kind.
// Secrets and keys for encryption have none.
func pin(key jwk.Key) (algorithm jwa.SignatureAlgorithm, public jwk.Key, ok bool) {
	if use, present := key.KeyUsage(); present && use != jwk.ForSignature.String() {
		return algorithm, nil, false
	}
	public, err := key.PublicKey()
	if err != nil {
		return algorithm, nil, false
	}
	allowed := algorithmsOf(public)
	if len(allowed) == 0 {
		return algorithm, nil, false
	}
	given, present := key.Algorithm()
	if !present {
		return allowed[0], public, true
	}
	i := slices.IndexFunc(allowed, func(a jwa.SignatureAlgorithm) bool { return a.String() == given.String() })
	if i < 0 {
		return algorithm, nil, false
	}
	return allowed[i], public, true
}

// algorithmsOf are the asymmetric algorithms a kind of key may be used with, the usual one first.
func algorithmsOf(key jwk.Key) []jwa.SignatureAlgorithm {
	var raw any
	if err := jwk.Export(key, &raw); err != nil {
		return nil
	}
	switch k := raw.(type) {
	case *rsa.PublicKey:
		return []jwa.SignatureAlgorithm{jwa.RS256(), jwa.RS384(), jwa.RS512(), jwa.PS256(), jwa.PS384(), jwa.PS512()}
	case *ecdsa.PublicKey:
		return map[string][]jwa.SignatureAlgorithm{
			"P-256": {jwa.ES256()}, "P-384": {jwa.ES384()}, "P-521": {jwa.ES512()},
		}[k.Params().Name]
	case ed25519.PublicKey:
		return []jwa.SignatureAlgorithm{jwa.EdDSA()}
	}
	return nil
}
