package devissuer_test

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/devissuer"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models"
)

// accepting is the identity of a stack that trusts the issuer.
func accepting(t *testing.T, issuer *devissuer.Issuer) identity.Authenticator {
	t.Helper()
	conf, err := devstack.Conf(config.Environment{"DATABASE_URL=postgres://127.0.0.1/x"})
	require.NoError(t, err)
	issuer.Configure(conf.GetAuth())
	require.NoError(t, config.Validate(conf))
	auth, cleanup, err := config.Authenticator(conf, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(cleanup)
	return auth
}

func name(t *testing.T, auth identity.Authenticator, token string) (string, error) {
	t.Helper()
	caller, err := auth.Authenticate(t.Context(), metadata.Pairs("authorization", "Bearer "+token))
	return caller.Name(), err
}

func TestTheStackAcceptsTokensOfItsIssuerOnly(t *testing.T) {
	t.Parallel()
	issuer, err := devissuer.New()
	require.NoError(t, err)
	other, err := devissuer.New()
	require.NoError(t, err)
	auth, user := accepting(t, issuer), models.UserID(uuid.New())
	token, err := issuer.UserToken(user, time.Minute)
	require.NoError(t, err)
	got, err := name(t, auth, token)
	require.NoError(t, err)
	require.Equal(t, user.String(), got)
	for _, role := range devissuer.Roles() {
		token, err := issuer.ServiceToken(devissuer.DefaultService, role, time.Minute)
		require.NoError(t, err)
		got, err := name(t, auth, token)
		require.NoError(t, err)
		require.Equal(t, "service:dev-"+role+"@profile.localhost", got)
	}
	token, err = issuer.ServiceToken("stranger", "admin", time.Minute)
	require.NoError(t, err)
	_, err = name(t, auth, token)
	require.ErrorIs(t, err, models.ErrPermissionDenied)
	token, err = other.UserToken(user, time.Minute)
	require.NoError(t, err)
	_, err = name(t, auth, token)
	require.ErrorIs(t, err, models.ErrUnauthenticated)
	token, err = issuer.UserToken(user, -time.Minute)
	require.NoError(t, err)
	_, err = name(t, auth, token)
	require.ErrorIs(t, err, models.ErrUnauthenticated)
}

func TestTheKeyIsMadeOnceAndKeptToItsOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	_, err := devissuer.Find(dir)
	require.ErrorIs(t, err, devissuer.ErrAbsent)
	served := make([]string, 8)
	var starting sync.WaitGroup
	for i := range served {
		starting.Go(func() {
			issuer, err := devissuer.Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			answer := httptest.NewRecorder()
			issuer.ServeHTTP(answer, nil)
			served[i] = answer.Body.String()
		})
	}
	starting.Wait()
	for _, keys := range served {
		require.Equal(t, served[0], keys)
		require.NotContains(t, keys, `"d":`, "the private part")
		require.Contains(t, keys, `"alg":"ES256"`)
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := files[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestABrokenKeyFileIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "issuer.json"), []byte("canary"), 0o600))
	_, err := devissuer.Open(dir)
	require.ErrorContains(t, err, "issuer.json")
	require.NotContains(t, err.Error(), "canary")
}
