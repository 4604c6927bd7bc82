package client_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/client"
	"github.com/lingo-services/profile/test/testkit"
)

func TestErrorsHaveEveryViolation(t *testing.T) {
	t.Parallel()
	c := to(t, testkit.New(t))

	_, err := c.MutateFavorite(client.AsUser(t.Context(), testkit.NewUser().String()), &profilev1.MutateFavoriteRequest{VideoId: "x"})

	var refused *client.Error
	require.ErrorAs(t, fmt.Errorf("of a caller: %w", err), &refused)
	require.Equal(t, profilev1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, refused.Reason)
	var fields []string
	for _, v := range refused.Violations {
		fields = append(fields, v.Field)
		require.NotEmpty(t, v.Description)
		require.ErrorContains(t, err, v.Field+" "+v.Description)
	}
	require.ElementsMatch(t, []string{"video_id", "favorite_type", "action"}, fields)
	require.Zero(t, refused.RetryAfter)
	require.ErrorContains(t, err, "profile: INVALID_ARGUMENT: ")
}

func TestErrorsHaveReasonMetadataAndStatus(t *testing.T) {
	t.Parallel()
	ctx := client.AsUser(t.Context(), testkit.NewUser().String())
	c := to(t, testkit.New(t))
	update := &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Ada"}, ExpectedProfileVersion: absent()}
	_, err := c.UpdateProfile(ctx, update)
	require.NoError(t, err)

	_, err = c.UpdateProfile(ctx, update)

	require.Equal(t, profilev1.ErrorReason_ERROR_REASON_VERSION_CONFLICT, client.ReasonOf(fmt.Errorf("of a caller: %w", err)))
	var conflict *client.Error
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, map[string]string{"current_version": "1"}, conflict.Metadata)
	answer, ok := status.FromError(err)
	require.True(t, ok)
	require.Equal(t, codes.Aborted, answer.Code())
	require.NotEmpty(t, answer.Details())
}

func TestReasonsOfOthersAreNotOurs(t *testing.T) {
	t.Parallel()
	foreign := detailed(t, "proxy.example.com", "VERSION_CONFLICT")
	unknown := detailed(t, "profile", "OF_A_LATER_VERSION")
	for _, answer := range []error{foreign, unknown} {
		c, _ := offline(t, answer)

		_, err := c.MutateFavorite(t.Context(), like())

		require.Equal(t, profilev1.ErrorReason_ERROR_REASON_UNSPECIFIED, client.ReasonOf(err))
		require.EqualError(t, err, "profile: Aborted: no")
	}
	require.Equal(t, profilev1.ErrorReason_ERROR_REASON_UNSPECIFIED, client.ReasonOf(errors.New("of somebody else")))
	require.Equal(t, profilev1.ErrorReason_ERROR_REASON_UNSPECIFIED, client.ReasonOf(nil))
}

func detailed(t testing.TB, domain, reason string) error {
	t.Helper()
	answer, err := status.New(codes.Aborted, "no").WithDetails(&errdetails.ErrorInfo{Domain: domain, Reason: reason})
	require.NoError(t, err)
	return answer.Err()
}
