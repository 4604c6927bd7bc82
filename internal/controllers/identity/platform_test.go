package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

// What Cloud Run did not verify names nobody, however good it looks.
func TestT2_WhatThePlatformDidNotVerifyNamesNobody(t *testing.T) {
	t.Parallel()
	platform := identity.OnPlatform{Authenticator: authenticator()}
	good := metadata.Pairs(authKey, "Bearer "+token)
	caller, err := platform.Authenticate(t.Context(), good)
	require.NoError(t, err)
	require.Equal(t, "service:feed", caller.Name())
	for _, value := range []string{"Bearer x", ""} {
		_, err = platform.Authenticate(t.Context(), metadata.Join(good, metadata.Pairs("x-serverless-authorization", value)))
		require.ErrorIs(t, err, models.ErrUnauthenticated)
	}
}
