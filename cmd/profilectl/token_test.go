package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
)

func printed(t *testing.T, out *console, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + `: *(\S+)$`).FindStringSubmatch(out.String())
	require.Len(t, found, 2, out)
	return found[1]
}

func TestTokensOfProfilectlWorkInTheDevelopmentStack(t *testing.T) {
	out, stop := devStack(t)
	ada := devstack.SeedUsers[0].ID
	require.Contains(t, out.String(), `-H "authorization: Bearer $(.bin/profilectl token --user `+ada+`)"`)
	conn, err := grpc.NewClient(printed(t, out, "grpc"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	profile := func(userID string, args ...string) (*profilev1.GetProfileResponse, error) {
		t.Helper()
		token, err := ctl(t, append([]string{"token"}, args...)...)
		require.NoError(t, err)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+strings.TrimSpace(token))
		return profilev1.NewProfileServiceClient(conn).GetProfile(ctx, &profilev1.GetProfileRequest{UserId: userID})
	}

	answer, err := profile("", "--user", ada)
	require.NoError(t, err)
	require.Equal(t, "Ada", answer.GetProfile().GetDisplayName())
	_, err = profile(devstack.SeedUsers[1].ID, "--user", ada)
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	answer, err = profile(ada, "--service", "dev", "--role", "reader")
	require.NoError(t, err)
	require.Equal(t, "Ada", answer.GetProfile().GetDisplayName())
	_, err = profile(ada, "--service", "dev", "--role", "writer")
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	_, err = profile(ada, "--service", "stranger", "--role", "admin")
	require.Equal(t, codes.PermissionDenied, status.Code(err))

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+printed(t, out, "admin")+"/.well-known/jwks.json", http.NoBody)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	body := response.Body
	defer body.Close()
	keys, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Contains(t, string(keys), `"kty":"EC"`)
	require.NotContains(t, string(keys), `"d":`)
	stop()
}

func TestAnEphemeralStackPrintsATokenThatWorks(t *testing.T) {
	out, stop := devStack(t, "--ephemeral")
	found := regexp.MustCompile(`-H "authorization: Bearer (\S+)"`).FindStringSubmatch(out.String())
	require.Len(t, found, 2)
	conn, err := grpc.NewClient(printed(t, out, "grpc"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+found[1])
	answer, err := profilev1.NewProfileServiceClient(conn).GetProfile(ctx, &profilev1.GetProfileRequest{})
	require.NoError(t, err)
	require.Equal(t, "Ada", answer.GetProfile().GetDisplayName())
	_, err = ctl(t, "token", "--user", devstack.SeedUsers[0].ID)
	require.ErrorContains(t, err, "make run", "its key is in its memory")
	files, err := os.ReadDir(os.Getenv("PROFILE_STATE_DIR"))
	require.NoError(t, err)
	for _, file := range files {
		require.NotEqual(t, "issuer.json", file.Name())
	}
	stop()
}

func TestTokenSaysWhatItNeeds(t *testing.T) {
	t.Setenv("PROFILE_STATE_DIR", filepath.Join(t.TempDir(), "none"))
	ada := devstack.SeedUsers[0].ID
	for want, args := range map[string][]string{
		"at least one of the flags": nil,
		"must all be set":           {"--service", "dev"},
		"none of the others can be": {"--user", ada, "--service", "dev", "--role", "reader"},
		"no development stack":      {"--user", ada},
		"--lifetime":                {"--user", ada, "--lifetime", "48h"},
	} {
		_, err := ctl(t, append([]string{"token"}, args...)...)
		require.ErrorContains(t, err, want, args)
	}
	_, stop := devStack(t)
	for want, args := range map[string][]string{
		"--user":    {"--user", "ada"},
		"--role":    {"--service", "dev", "--role", "root"},
		"--service": {"--service", "a@b", "--role", "reader"},
	} {
		_, err := ctl(t, append([]string{"token"}, args...)...)
		require.ErrorContains(t, err, want+":", args)
	}
	stop()
}
