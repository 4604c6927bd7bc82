package client_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/test/testkit"
)

func TestCallsGoToAllInstances(t *testing.T) {
	t.Parallel()
	one, other := newWitness(), newWitness()
	names := manual.NewBuilderWithScheme("names")
	names.InitialState(resolver.State{Endpoints: []resolver.Endpoint{
		{Addresses: []resolver.Address{{Addr: one.listen(t)}}}, {Addresses: []resolver.Address{{Addr: other.listen(t)}}},
	}})
	c := connect(t, "names:///profile", client.WithDialOptions(grpc.WithResolvers(names)))
	for range 100 {
		_, err := c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})
		require.NoError(t, err)
	}
	require.Greater(t, len(one.calls), 30)
	require.Greater(t, len(other.calls), 30)
}

func TestAClosedClientCallsNoMore(t *testing.T) {
	t.Parallel()
	service := newWitness()
	c, err := client.New(service.listen(t), client.WithInsecure())
	require.NoError(t, err)
	require.NoError(t, c.Close())

	_, err = c.GetProfile(t.Context(), &profilev1.GetProfileRequest{})

	require.Equal(t, codes.Canceled, status.Code(err))
	require.Empty(t, service.calls)
	require.ErrorContains(t, c.Close(), "close profile client: ")
}

func TestAProfileIsFetchedOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	ctx := client.AsUser(t.Context(), testkit.NewUser().String())
	c := to(t, testkit.New(t))
	_, _, err := c.ProfileIfChanged(ctx, &profilev1.GetProfileRequest{}, "")
	require.Equal(t, profilev1.ErrorReason_ERROR_REASON_PROFILE_NOT_FOUND, client.ReasonOf(err))
	_, err = c.UpdateProfile(ctx, named("Ada"))
	require.NoError(t, err)

	profile, etag, err := c.ProfileIfChanged(ctx, &profilev1.GetProfileRequest{}, "")
	require.NoError(t, err)
	require.Equal(t, "Ada", profile.GetDisplayName())

	profile, same, err := c.ProfileIfChanged(ctx, &profilev1.GetProfileRequest{}, etag)
	require.NoError(t, err)
	require.Nil(t, profile)
	require.Equal(t, etag, same)

	_, err = c.UpdateProfile(client.IfMatch(ctx, etag), named("Ada Lovelace"))
	require.NoError(t, err)
	profile, newer, err := c.ProfileIfChanged(ctx, &profilev1.GetProfileRequest{}, etag)
	require.NoError(t, err)
	require.Equal(t, "Ada Lovelace", profile.GetDisplayName())
	require.NotEqual(t, etag, newer)

	_, err = c.UpdateProfile(client.IfMatch(ctx, etag), named("Augusta"))
	require.Equal(t, profilev1.ErrorReason_ERROR_REASON_PRECONDITION_FAILED, client.ReasonOf(err))
}

func named(name string) *profilev1.UpdateProfileRequest {
	return &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: name}}
}
