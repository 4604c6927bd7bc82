package pagetoken_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services/pagetoken"
)

const (
	oldKey = "old-key-0123456789"
	newKey = "new-key-0123456789"
)

var (
	ada   = models.UserID(uuid.MustParse("0190d5a0-1111-7abc-8def-00000000abcd"))
	grace = models.UserID(uuid.MustParse("0190d5a0-2222-7abc-8def-00000000abcd"))
	video = models.VideoID(uuid.MustParse("0190d5a0-3333-7abc-8def-00000000abcd"))
	scope = pagetoken.Scope{List: "favorites", User: ada, Filter: "like\nfalse\n"}
	key   = pagetoken.Key{At: time.Date(2030, 1, 2, 3, 4, 5, 678901000, time.UTC), VideoID: video, Kind: 'l'}
)

func codec(t testing.TB, keys ...string) *pagetoken.Codec {
	t.Helper()
	c, err := pagetoken.NewCodec(keys)
	require.NoError(t, err)
	return c
}

func requireRefused(t testing.TB, c *pagetoken.Codec, s pagetoken.Scope, token string) {
	t.Helper()
	got, err := c.Decode(s, token)
	require.ErrorIs(t, err, models.ErrInvalidPageToken)
	require.Nil(t, got)
}

func TestS54_TokenReturnsItsKey(t *testing.T) {
	t.Parallel()
	c := codec(t, newKey)
	for name, k := range map[string]pagetoken.Key{
		"usual":         key,
		"no kind":       {At: key.At, VideoID: video},
		"year 1":        {At: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), VideoID: video},
		"year 9999":     {At: time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), VideoID: video},
		"before 1970":   {At: time.UnixMicro(-1).UTC(), VideoID: video},
		"zero video id": {At: key.At},
	} {
		token := c.Encode(scope, k)
		require.Len(t, token, 56, name)
		got, err := c.Decode(scope, token)
		require.NoError(t, err, name)
		require.Equal(t, &k, got, name)
	}
}

func TestS54_NoTokenIsTheFirstPage(t *testing.T) {
	t.Parallel()
	got, err := codec(t, newKey).Decode(scope, "")
	require.NoError(t, err)
	require.Nil(t, got)
}

func TestS54_TokenOfAnotherUserListOrFilterIsRefused(t *testing.T) {
	t.Parallel()
	c := codec(t, newKey)
	token := c.Encode(scope, key)
	for name, other := range map[string]pagetoken.Scope{
		"user":                      {List: scope.List, User: grace, Filter: scope.Filter},
		"no user":                   {List: scope.List, Filter: scope.Filter},
		"list":                      {List: "watch_history", User: ada, Filter: scope.Filter},
		"filter":                    {List: scope.List, User: ada, Filter: "bookmark\nfalse\n"},
		"no filter":                 {List: scope.List, User: ada},
		"list and filter run on":    {List: scope.List + "like", User: ada, Filter: "\nfalse\n"},
		"filter moved into list":    {List: scope.List + scope.Filter, User: ada},
		"filter with one more byte": {List: scope.List, User: ada, Filter: scope.Filter + "\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRefused(t, c, other, token)
		})
	}
}

func TestS54_MalformedTokenNamesItsField(t *testing.T) {
	t.Parallel()
	c := codec(t, newKey)
	token := c.Encode(scope, key)
	for name, bad := range map[string]string{
		"not base64":       "***",
		"number":           "20",
		"too short":        token[:55],
		"too long":         token + "A",
		"padded":           token + "==",
		"standard base64":  base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\xfb", 42))),
		"newline behind":   token + "\n",
		"newline inside":   token[:10] + "\r\n" + token[10:],
		"blank before":     " " + token,
		"unsigned":         base64.RawURLEncoding.EncodeToString(make([]byte, 42)),
		"next version":     "Ag" + token[2:],
		"twice":            token + token,
		"512 bytes":        strings.Repeat("A", 512),
		"half a megabyte":  strings.Repeat("A", 1<<19),
		"without its mac":  token[:34],
		"only its mac":     token[34:],
		"upper case":       strings.ToUpper(token),
		"invalid UTF-8":    "\xff" + token[1:],
		"NUL in the front": "\x00" + token,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRefused(t, c, scope, bad)
			_, err := c.Decode(scope, bad)
			var known *models.Error
			require.ErrorAs(t, err, &known)
			require.Len(t, known.Violations, 1)
			require.Equal(t, "page_token", known.Violations[0].Field)
		})
	}
}

func TestS54_NoMutatedTokenIsAccepted(t *testing.T) {
	t.Parallel()
	c := codec(t, newKey, oldKey)
	token := c.Encode(scope, key)
	random := rand.New(rand.NewPCG(1, 2))
	const mutants = 100_000
	tried := 0
	for tried < mutants {
		mutant := mutate(random, token)
		if mutant == token || mutant == "" {
			continue
		}
		tried++
		if got, err := c.Decode(scope, mutant); err == nil {
			require.Failf(t, "accepted", "%q as %v", mutant, got)
		}
	}
}

// mutate changes one to three places of the text or of the bytes behind it.
func mutate(random *rand.Rand, token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/\n\r "
	body, _ := base64.RawURLEncoding.DecodeString(token)
	text := []byte(token)
	for range 1 + random.IntN(3) {
		if len(text) == 0 {
			return ""
		}
		at := random.IntN(len(text))
		switch random.IntN(5) {
		case 0: // replace
			text[at] = alphabet[random.IntN(len(alphabet))]
		case 1: // insert
			text = append(text[:at], append([]byte{alphabet[random.IntN(len(alphabet))]}, text[at:]...)...)
		case 2: // delete
			text = append(text[:at], text[at+1:]...)
		case 3: // swap
			other := random.IntN(len(text))
			text[at], text[other] = text[other], text[at]
		default: // flip a bit behind the text
			body[random.IntN(len(body))] ^= 1 << random.IntN(8)
			text = []byte(base64.RawURLEncoding.EncodeToString(body))
		}
	}
	return string(text)
}

func TestS54_RotatedKeysKeepTokensUntilTheyAreRetired(t *testing.T) {
	t.Parallel()
	before, during, after := codec(t, oldKey), codec(t, newKey, oldKey), codec(t, newKey)
	old := before.Encode(scope, key)
	got, err := during.Decode(scope, old)
	require.NoError(t, err, "an old key is still accepted")
	require.Equal(t, &key, got)
	requireRefused(t, after, scope, old)

	fresh := during.Encode(scope, key)
	require.NotEqual(t, old, fresh, "the first key signs")
	got, err = after.Decode(scope, fresh)
	require.NoError(t, err)
	require.Equal(t, &key, got)
	requireRefused(t, before, scope, fresh)
}

func TestCodecNeedsSoundKeys(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][]string{
		"none":               nil,
		"empty":              {""},
		"15 bytes":           {"0123456789abcde"},
		"a short second one": {newKey, "canary-short"},
	} {
		_, err := pagetoken.NewCodec(keys)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "canary", "keys are secret")
	}
	_, err := pagetoken.NewCodec([]string{"0123456789abcdef"})
	require.NoError(t, err)
}

func FuzzDecode(f *testing.F) {
	c := codec(f, newKey, oldKey)
	token := c.Encode(scope, key)
	f.Add(token)
	f.Add(codec(f, oldKey).Encode(scope, key))
	f.Add(token[:20])
	f.Fuzz(func(t *testing.T, text string) {
		got, err := c.Decode(scope, text)
		if err != nil {
			require.ErrorIs(t, err, models.ErrInvalidPageToken)
			require.Nil(t, got)
			return
		}
		if text == "" {
			require.Nil(t, got)
			return
		}
		// Accepted means that one of the keys wrote exactly this text.
		require.Contains(t, []string{c.Encode(scope, *got), codec(t, oldKey).Encode(scope, *got)}, text)
	})
}
