package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
)

const (
	ada   = "0190d5a0-1111-7abc-8def-00000000abcd"
	grace = "0190d5a0-2222-7abc-8def-00000000dcba"
)

func raw(document string) string { return base64.RawURLEncoding.EncodeToString([]byte(document)) }

func sub(value string) string { return raw(`{"sub":` + value + `}`) }

func TestS1_UserInfoThatNamesOneUserIsAccepted(t *testing.T) {
	t.Parallel()
	// Encodes with all of + / - _ so that the two alphabets differ.
	wide := `{"sub":"` + ada + `","x":"???>>>~~~ÿÿÿ"}`
	require.NotEqual(t, base64.StdEncoding.EncodeToString([]byte(wide)), base64.URLEncoding.EncodeToString([]byte(wide)))
	for name, header := range map[string]string{
		"base64 padded":             base64.StdEncoding.EncodeToString([]byte(wide)),
		"base64 without padding":    base64.RawStdEncoding.EncodeToString([]byte(wide)),
		"base64url padded":          base64.URLEncoding.EncodeToString([]byte(wide)),
		"base64url no padding":      base64.RawURLEncoding.EncodeToString([]byte(wide)),
		"sub":                       sub(`"` + ada + `"`),
		"user_id":                   raw(`{"user_id":"` + ada + `"}`),
		"uid":                       raw(`{"uid":"` + ada + `"}`),
		"all three alike":           raw(`{"user_id":"` + strings.ToUpper(ada) + `","sub":"` + ada + `","uid":"` + ada + `"}`),
		"two alike":                 raw(`{"uid":"` + ada + `","user_id":"` + ada + `"}`),
		"upper case":                sub(`"` + strings.ToUpper(ada) + `"`),
		"mixed case":                sub(`"0190D5a0-1111-7aBc-8dEf-00000000AbCd"`),
		"blanks in the document":    raw("{ \n\t\"sub\" : \"" + ada + "\" \r\n}"),
		"other claims":              raw(`{"iss":"x","aud":["a","b"],"exp":1,"sub":"` + ada + `","nested":{"sub":"` + grace + `"}}`),
		"repeated keys deep inside": raw(`{"sub":"` + ada + `","nested":{"a":1,"a":2}}`),
		"escaped claim name":        raw(`{"\u0073ub":"` + ada + `"}`),
		"escaped value":             sub(`"\u0030` + ada[1:] + `"`),
	} {
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
	good := sub(`"` + ada + `"`)
	for name, header := range map[string]string{
		"empty":                     "",
		"padding only":              "====",
		"blank":                     " ",
		"plain JSON":                `{"sub":"` + ada + `"}`,
		"plain id":                  ada,
		"not base64":                "%%%not-base64%%%",
		"mixed alphabets":           "+_" + good,
		"padding inside":            good[:8] + "==" + good[8:],
		"leading blank":             " " + good,
		"trailing blank":            good + " ",
		"two headers joined":        good + "," + good,
		"truncated":                 good[:len(good)-6],
		"empty document":            raw(" "),
		"null":                      raw("null"),
		"string":                    raw(`"` + ada + `"`),
		"number":                    raw("1"),
		"array":                     raw(`[{"sub":"` + ada + `"}]`),
		"no claims":                 raw("{}"),
		"other claims only":         raw(`{"email":"ada@example.com"}`),
		"claim in another case":     raw(`{"Sub":"` + ada + `"}`),
		"unclosed object":           raw(`{"sub":"` + ada + `"`),
		"missing value":             raw(`{"sub":}`),
		"trailing object":           raw(`{"sub":"` + ada + `"}{"sub":"` + grace + `"}`),
		"trailing text":             raw(`{"sub":"` + ada + `"} x`),
		"trailing comma":            raw(`{"sub":"` + ada + `",}`),
		"byte order mark":           raw("\ufeff" + `{"sub":"` + ada + `"}`),
		"repeated sub":              raw(`{"sub":"` + ada + `","sub":"` + grace + `"}`),
		"repeated same sub":         raw(`{"sub":"` + ada + `","sub":"` + ada + `"}`),
		"repeated by escape":        raw(`{"sub":"` + ada + `","\u0073ub":"` + grace + `"}`),
		"repeated other claim":      raw(`{"a":1,"sub":"` + ada + `","a":2}`),
		"sub null":                  sub("null"),
		"sub number":                sub("7"),
		"sub object":                sub(`{"id":"` + ada + `"}`),
		"sub list":                  sub(`["` + ada + `"]`),
		"sub empty":                 sub(`""`),
		"sub not a UUID":            sub(`"auth0|12345"`),
		"sub in braces":             sub(`"{` + ada + `}"`),
		"sub as urn":                sub(`"urn:uuid:` + ada + `"`),
		"sub as 32 digits":          sub(`"` + strings.ReplaceAll(ada, "-", "") + `"`),
		"sub nil UUID":              sub(`"00000000-0000-0000-0000-000000000000"`),
		"sub with a blank":          sub(`" ` + ada[1:] + `"`),
		"sub with a newline":        sub(`"` + ada + `\n"`),
		"sub with NUL":              sub(`"` + ada[:35] + `\u0000"`),
		"sub in wide digits":        sub(`"０` + ada[3:] + `"`),
		"sub invalid UTF-8":         sub("\"\xff" + ada[1:] + `"`),
		"bad sub, good user_id":     raw(`{"sub":"nobody","user_id":"` + ada + `"}`),
		"null sub, good uid":        raw(`{"sub":null,"uid":"` + ada + `"}`),
		"user_id and sub differ":    raw(`{"user_id":"` + grace + `","sub":"` + ada + `"}`),
		"uid and sub differ":        raw(`{"uid":"` + grace + `","sub":"` + ada + `"}`),
		"uid and user_id differ":    raw(`{"uid":"` + grace + `","user_id":"` + ada + `"}`),
		"good sub, bad uid":         raw(`{"sub":"` + ada + `","uid":7}`),
		"good sub, uid of its own":  raw(`{"sub":"` + ada + `","uid":"auth0|12345"}`),
		"over 8 KiB":                raw(`{"sub":"` + ada + `","pad":"` + strings.Repeat("x", 8<<10) + `"}`),
		"64 KiB":                    strings.Repeat("A", 64<<10),
		"8 KiB of opening brackets": raw(`{"a":` + strings.Repeat("[", 6000)),
	} {
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
