package models_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
)

const canonical = "0190d5a0-1111-7abc-8def-00000000abcd"

func TestS4_OnlyTheCanonicalSpellingIsAnID(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"lower case":           {canonical, true},
		"upper case":           {strings.ToUpper(canonical), true},
		"mixed case":           {"0190D5a0-1111-7aBc-8dEf-00000000AbCd", true},
		"any version":          {"ffffffff-ffff-ffff-ffff-ffffffffffff", true},
		"empty":                {"", false},
		"nil UUID":             {"00000000-0000-0000-0000-000000000000", false},
		"braces":               {"{" + canonical + "}", false},
		"urn":                  {"urn:uuid:" + canonical, false},
		"32 digits":            {strings.ReplaceAll(canonical, "-", ""), false},
		"36 other characters":  {strings.Repeat("x", 36), false},
		"36 digits":            {strings.Repeat("1", 36), false},
		"hyphens moved":        {"0190d5a01-111-7abc-8def-00000000abcd", false},
		"leading blank":        {" " + canonical[1:], false},
		"trailing newline":     {canonical[:35] + "\n", false},
		"NUL":                  {canonical[:35] + "\x00", false},
		"one too long":         {canonical + "0", false},
		"one too short":        {canonical[:35], false},
		"wide digit, 36 bytes": {"０" + canonical[3:], false},
		"36 bytes of braces":   {"{" + strings.ReplaceAll(canonical, "-", "") + "}xx", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, userErr := models.ParseUserID(tc.text)
			video, videoErr := models.ParseVideoID(tc.text)
			if !tc.ok {
				require.ErrorIs(t, userErr, models.ErrInvalidID)
				require.ErrorIs(t, videoErr, models.ErrInvalidID)
				require.Zero(t, user)
				require.Zero(t, video)
				return
			}
			require.NoError(t, userErr)
			require.NoError(t, videoErr)
			require.Equal(t, strings.ToLower(tc.text), user.String())
			require.Equal(t, strings.ToLower(tc.text), video.String())
		})
	}
}

func TestIDsSurviveStoredAnswers(t *testing.T) {
	t.Parallel()
	type answer struct {
		User  models.UserID
		Video models.VideoID
	}
	user, err := models.ParseUserID(canonical)
	require.NoError(t, err)
	stored, err := json.Marshal(answer{user, models.VideoID(user)})
	require.NoError(t, err)
	require.JSONEq(t, `{"User":"`+canonical+`","Video":"`+canonical+`"}`, string(stored))
	var read answer
	require.NoError(t, json.Unmarshal(stored, &read))
	require.Equal(t, answer{user, models.VideoID(user)}, read)
}

func TestIDsRefuseOtherTextInStoredAnswers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`""`, `"{` + canonical + `}"`, `"00000000-0000-0000-0000-000000000000"`} {
		var user models.UserID
		require.ErrorIs(t, json.Unmarshal([]byte(text), &user), models.ErrInvalidID)
		var video models.VideoID
		require.ErrorIs(t, json.Unmarshal([]byte(text), &video), models.ErrInvalidID)
	}
}

func TestActorsAreUsersOrTheService(t *testing.T) {
	t.Parallel()
	user, err := models.ParseUserID(canonical)
	require.NoError(t, err)
	require.True(t, models.ServiceActor.IsService())
	require.False(t, models.UserActor(user).IsService())
	require.Equal(t, user, models.UserActor(user).User)
}
