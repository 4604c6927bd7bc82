package models_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
)

var errCause = errors.New("cause")

func TestErrorsAreComparedByReason(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("outer: %w", models.ErrVersionConflict.WithMetadata("current_version", "3").Because(errCause))
	require.ErrorIs(t, err, models.ErrVersionConflict)
	require.ErrorIs(t, err, errCause)
	require.NotErrorIs(t, err, models.ErrPreferenceConflict)
}

func TestErrorCopiesLeaveTheSentinelClean(t *testing.T) {
	t.Parallel()
	first := models.ErrInvalidArgument.With(models.Violation{Field: "a"})
	second := first.With(models.Violation{Field: "b"}).WithMetadata("k", "v").Because(errCause)
	require.Len(t, second.Violations, 2)
	require.Len(t, first.Violations, 1)
	require.Empty(t, first.Metadata)
	require.Empty(t, models.ErrInvalidArgument.Violations)
	require.NoError(t, models.ErrInvalidArgument.Unwrap())
}

func TestErrorMessageIsTheTitleAndTheCauseOnlyForTheLog(t *testing.T) {
	t.Parallel()
	err := models.ErrUnavailable.Because(errCause)
	require.Equal(t, models.ReasonUnavailable.Entry().Title, err.Message)
	require.Equal(t, err.Message+": cause", err.Error())
}

func TestUnknownReasonIsInternal(t *testing.T) {
	t.Parallel()
	require.Equal(t, models.ReasonInternal.Entry(), models.Reason("NO_SUCH_REASON").Entry())
}
