// Package devissuer is the token issuer of the development stack: one key, which signs for users and services, and the
// configuration that makes the stack accept what it signs, as it would in production.
package devissuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
)

const (
	usersIssuer    = "profile-dev-users"
	servicesIssuer = "profile-dev-services"
	audience       = "profile-dev"
	keyFile        = "issuer.json"
)

// DefaultService is the name of the services that the stack lists, one for each role.
const DefaultService = "dev"

// Roles are those of the listed services.
func Roles() []string { return []string{"reader", "writer", "compliance", "admin"} }

// Issuer signs tokens.
type Issuer struct {
	key  jwk.Key
	keys string
}

// New makes an issuer that nobody else can find.
func New() (*Issuer, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return of(key)
}

// Open is the issuer of a state directory, made at the first call.
func Open(dir string) (*Issuer, error) {
	issuer, err := Find(dir)
	if !errors.Is(err, ErrAbsent) {
		return issuer, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := save(dir, key); err != nil {
		return nil, fmt.Errorf("keep the development issuer's key: %w", err)
	}
	return Find(dir)
}

// ErrAbsent says that no stack has run with the state directory.
var ErrAbsent = errors.New("no development stack (make run) has made an issuer")

// Find is the issuer of a state directory. Errors: ErrAbsent.
func Find(dir string) (*Issuer, error) {
	path := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(path) //nolint:gosec // G304: the state directory is the developer's
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrAbsent, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the development issuer's key: %w", err)
	}
	key, err := jwk.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a key: remove it and start the stack again", path)
	}
	return of(key)
}

func newKey() (jwk.Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	key, err := jwk.Import(private)
	if err != nil {
		return nil, fmt.Errorf("import key: %w", err)
	}
	if err := key.Set(jwk.AlgorithmKey, jwa.ES256()); err != nil {
		return nil, fmt.Errorf("set algorithm: %w", err)
	}
	if err := jwk.AssignKeyID(key); err != nil {
		return nil, fmt.Errorf("name key: %w", err)
	}
	return key, nil
}

// save writes the key unless another process was faster; both then use that one's.
func save(dir string, key jwk.Key) error {
	text, err := json.Marshal(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: Postgres, as another account, must get through
		return err
	}
	draft, err := os.CreateTemp(dir, keyFile) // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name()) //nolint:errcheck // what is left does no harm
	if _, err := draft.Write(text); err != nil {
		return errors.Join(err, draft.Close())
	}
	if err := draft.Close(); err != nil {
		return err
	}
	if err := os.Link(draft.Name(), filepath.Join(dir, keyFile)); !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func of(key jwk.Key) (*Issuer, error) {
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return &Issuer{key, string(text)}, nil
}

// Configure makes auth accept the issuer's tokens, users' and those of the service of each role.
func (i *Issuer) Configure(auth *confpb.Auth) {
	auth.Mode = "direct"
	auth.Issuers = []*confpb.Auth_Issuer{
		{Issuer: usersIssuer, Principals: "users", Audiences: []string{audience}, Jwks: i.keys},
		{Issuer: servicesIssuer, Principals: "services", Audiences: []string{audience}, Jwks: i.keys},
	}
	for _, role := range Roles() {
		auth.Services = append(auth.Services, &confpb.Auth_ServiceAccount{Email: email(DefaultService, role), Roles: []string{role}})
	}
}

// ServeHTTP answers with the public key as a JSON Web Key Set.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(i.keys))
}

// UserToken names a user.
func (i *Issuer) UserToken(user models.UserID, lifetime time.Duration) (string, error) {
	return i.sign(jwt.NewBuilder().Issuer(usersIssuer).Subject(user.String()), lifetime)
}

// ServiceToken names the service account of a name and a role. The stack lists those of DefaultService; another name's
// account is verified and refused.
func (i *Issuer) ServiceToken(name, role string, lifetime time.Duration) (string, error) {
	account := email(name, role)
	return i.sign(jwt.NewBuilder().Issuer(servicesIssuer).Subject(account).Claim("email", account).Claim("email_verified", true), lifetime)
}

func email(name, role string) string { return name + "-" + role + "@profile.localhost" }

func (i *Issuer) sign(claims *jwt.Builder, lifetime time.Duration) (string, error) {
	now := time.Now()
	token, err := claims.Audience([]string{audience}).IssuedAt(now).Expiration(now.Add(lifetime)).Build()
	if err != nil {
		return "", fmt.Errorf("build token: %w", err)
	}
	text, err := jwt.Sign(token, jwt.WithKey(jwa.ES256(), i.key))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return string(text), nil
}
