package dto_test

import (
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
)

// What is plainly right is not shown to the rules; that changes nothing about what is refused, and how.
func TestS18_ListsOfIDsAreJudgedByTheRulesAlone(t *testing.T) {
	d := decoder(t)
	rules, err := protovalidate.New()
	require.NoError(t, err)
	id := rapid.OneOf(
		rapid.StringMatching(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`),
		rapid.StringMatching(`[0-9a-f]{8}(-?[0-9a-g]{4}){3}-?[0-9a-f]{12}`),
		rapid.Just("00000000-0000-0000-0000-000000000000"),
		rapid.Just(strings.ToUpper(videoID)),
		rapid.Just("{"+videoID+"}"),
		rapid.Just("urn:uuid:"+videoID),
		rapid.Just(strings.ReplaceAll(videoID, "-", "")),
		rapid.String(),
	)
	good := rapid.Just(videoID)
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.OneOf(rapid.SliceOfN(rapid.OneOf(good, good, good, id), 0, 6), rapid.SliceOfN(good, 99, 102)).Draw(t, "ids")
		req := &profilev1.BatchQueryFavoriteRequest{VideoIds: ids}
		var want []string
		var invalid *protovalidate.ValidationError
		if err := rules.Validate(req); err != nil {
			require.ErrorAs(t, err, &invalid)
			for _, v := range invalid.Violations {
				want = append(want, protovalidate.FieldPathString(v.Proto.GetField())+": "+v.Proto.GetMessage())
			}
		}
		_, _, err := d.BatchQueryFavorite(self, none, req)
		var refused *models.Error
		var got []string
		if err != nil {
			require.ErrorAs(t, err, &refused)
			for _, v := range refused.Violations {
				got = append(got, v.Field+": "+v.Description)
			}
		}
		require.ElementsMatch(t, want, got)
	})
}
