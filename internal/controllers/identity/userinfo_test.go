package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit/userinfotest"
)

const (
	ada   = userinfotest.Ada
	grace = userinfotest.Grace
)

func raw(document string) string { return userinfotest.Raw(document) }

func sub(value string) string { return userinfotest.Sub(value) }

func TestS1_UserInfoThatNamesOneUserIsAccepted(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, base64.StdEncoding.EncodeToString([]byte(userinfotest.Wide)), base64.URLEncoding.EncodeToString([]byte(userinfotest.Wide)))
	for name, header := range userinfotest.Good() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, err := identity.ParseUserInfo(header)
			require.NoError(t, err)
			require.Equal(t, ada, user.String(), "lower case out")
		})
	}
}

func TestS1_UserInfoThatIsAmbiguousOrBrokenIsRefused(t *testing.T) {
	t.Parallel()
	for name, header := range userinfotest.Bad() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, err := identity.ParseUserInfo(header)
			require.Error(t, err)
			require.Zero(t, user)
		})
	}
}

func TestS1_UserInfoErrorsDoNotRepeatTheHeader(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"canary%%%", raw(`{"sub":"canary"}`), raw(`{"sub":"` + ada + `"} canary`), raw(`{"canary"}`)} {
		_, err := identity.ParseUserInfo(header)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "canary")
	}
}

// Whatever is accepted must be a claim of the decoded document, by an independent reading of it.
func FuzzParseUserInfo(f *testing.F) {
	f.Add(sub(`"` + ada + `"`))
	f.Add(raw(`{"uid":"` + ada + `","uid":"` + grace + `"}`))
	f.Fuzz(func(t *testing.T, header string) {
		user, err := identity.ParseUserInfo(header)
		if err != nil {
			require.Zero(t, user)
			return
		}
		require.NotEqual(t, models.UserID{}, user)
		text := strings.TrimRight(header, "=")
		document, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(text))
		require.NoError(t, err)
		var claims map[string]any
		require.NoError(t, json.Unmarshal(document, &claims))
		var named []string
		for _, name := range []string{"sub", "user_id", "uid"} {
			if claim, ok := claims[name].(string); ok {
				named = append(named, strings.ToLower(claim))
			}
		}
		require.Contains(t, named, user.String())
	})
}
