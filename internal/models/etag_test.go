package models_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
)

func TestS64_ETagNamesUserAndVersionWithoutTheUserID(t *testing.T) {
	t.Parallel()
	ada, err := models.ParseUserID(canonical)
	require.NoError(t, err)
	grace := ada
	grace[15]++
	require.Regexp(t, `^"[0-9a-f]{16}-7"$`, models.ETag(ada, 7))
	require.NotEqual(t, models.ETag(ada, 7), models.ETag(ada, 8))
	require.NotEqual(t, models.ETag(ada, 7), models.ETag(grace, 7))
	require.Regexp(t, `-9223372036854775807"$`, models.ETag(ada, math.MaxInt64))
	require.NotContains(t, models.ETag(ada, 7), canonical[:8])
}

func TestS64_ConditionsNameTags(t *testing.T) {
	t.Parallel()
	const tag = `"ab-1"`
	for header, want := range map[string]bool{
		`"ab-1"`:            true,
		`*`:                 true,
		`W/"ab-1"`:          true,
		`"x-1", "ab-1"`:     true,
		` "x-1" ,W/"ab-1" `: true,
		``:                  false,
		`ab-1`:              false,
		`"ab-10"`:           false,
		`"ab-1`:             false,
		`"x-1","y-1"`:       false,
		`""`:                false,
		`w/"ab-1"`:          false,
		`"**"`:              false,
		`,,,`:               false,
		`"ab-1""`:           false,
		"\"ab-1\"\x00":      false,
		`"AB-1"`:            false,
		`"x-1" "ab-1"`:      false,
	} {
		require.Equal(t, want, models.ETagMatches(header, tag), "%q", header)
	}
}
