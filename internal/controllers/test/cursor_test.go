package test

import (
	"encoding/base64"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services/pagetoken"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/workload"
)

// issued is a good cursor and the list that it is for.
type issued struct {
	scope pagetoken.Scope
	token string
}

// cursors are twenty, of both lists, several users and filters, signed with the key of today and the one before.
func cursors(t *testing.T) (codec *pagetoken.Codec, seeds []issued) {
	t.Helper()
	today, before := "todays-key-0123456789", "earlier-key-0123456789"
	codec, err := pagetoken.NewCodec([]string{today, before})
	require.NoError(t, err)
	earlier, err := pagetoken.NewCodec([]string{before})
	require.NoError(t, err)
	at := time.Date(2030, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	for i, signs := range []*pagetoken.Codec{codec, earlier} {
		for range 5 {
			user := testkit.NewUser()
			for _, scope := range []pagetoken.Scope{
				{List: "favorites", User: user, Filter: "like\nfalse\n"}, {List: "watch_history", User: user, Filter: "\nfalse\n"},
			} {
				seeds = append(seeds, issued{scope, signs.Encode(scope, pagetoken.Key{At: at.AddDate(0, 0, i), VideoID: testkit.NewVideo(), Kind: 'l'})})
			}
		}
	}
	require.Len(t, seeds, 20)
	return codec, seeds
}

// mutated is the cursor of seed, changed in one of the ways that somebody who cannot sign may try; others are what else
// they have.
func mutated(random *rand.Rand, seed issued, others []issued) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/\n\r "
	letter := func() byte { return letters[random.IntN(len(letters))] }
	text := []byte(seed.token)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(text))
		switch random.IntN(6) {
		case 0:
			text[at] = letter()
		case 1:
			text = slices.Insert(text, at, letter())
		case 2:
			text = slices.Delete(text, at, at+1)
		case 3:
			other := random.IntN(len(text))
			text[at], text[other] = text[other], text[at]
		case 4: // one's beginning, another's end
			end := others[random.IntN(len(others))].token
			text = append(text[:at], end[min(at, len(end)):]...)
		default: // a bit behind the text
			if body, err := base64.RawURLEncoding.DecodeString(string(text)); err == nil {
				body[random.IntN(len(body))] ^= 1 << random.IntN(8)
				text = []byte(base64.RawURLEncoding.EncodeToString(body))
			}
		}
	}
	return string(text)
}

// Whoever cannot sign gets no cursor accepted: neither a changed one, nor a good one for any other list.
func TestT7_NoMutatedCursorIsAccepted(t *testing.T) {
	t.Parallel()
	codec, seeds := cursors(t)
	for i, list := range seeds {
		for j, seed := range seeds {
			_, err := codec.Decode(list.scope, seed.token)
			if i == j {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, models.ErrInvalidPageToken, "of another list")
		}
	}
	workers := runtime.GOMAXPROCS(0)
	each := workload.Mutations(t)/workers + 1
	start := rand.Uint64()
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(start, uint64(w)))
			for tried := 0; tried < each; {
				seed := seeds[random.IntN(len(seeds))]
				token := mutated(random, seed, seeds)
				if token == seed.token {
					continue
				}
				tried++
				if key, err := codec.Decode(seed.scope, token); err == nil {
					t.Errorf("seed %d: %q is accepted for %+v as %v", start, token, seed.scope, key)
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d mutated cursors", each*workers)
}
