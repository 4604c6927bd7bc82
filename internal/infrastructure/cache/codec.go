package cache

import (
	"encoding/binary"
	"time"

	"github.com/lingo-services/profile/internal/services"
)

// What is kept in Redis: the first byte says what and in which version of this format.
const (
	kindLease = 'L' // then the 8 bytes of the lease's version
	kindState = 1   // then flags, then 8 bytes of microseconds since 1970 for each flag
)

const (
	flagLiked = 1 << iota
	flagBookmarked
)

const wordSize = 8

func encodeLease(version uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindLease}, version)
}

func encodeMarks(m services.FavoriteMarks) []byte {
	text := []byte{kindState, 0}
	for _, mark := range []struct {
		at   *time.Time
		flag byte
	}{{m.LikedAt, flagLiked}, {m.BookmarkedAt, flagBookmarked}} {
		if mark.at != nil {
			text[1] |= mark.flag
			text = binary.BigEndian.AppendUint64(text, uint64(mark.at.UnixMicro()))
		}
	}
	return text
}

// decode reads what is kept. What a later version of this program wrote is neither found nor to be filled.
func decode(text string) (c services.CachedFavorite) {
	if len(text) == 1+wordSize && text[0] == kindLease {
		c.Lease.Version = word(text[1:])
		return c
	}
	if len(text) < 2 || text[0] != kindState || text[1] > flagLiked|flagBookmarked {
		return c
	}
	flags, rest := text[1], text[2:]
	next := func(flag byte) (at *time.Time) {
		if flags&flag != 0 && len(rest) >= wordSize {
			t := time.UnixMicro(int64(word(rest))).UTC()
			at, rest, flags = &t, rest[wordSize:], flags&^flag
		}
		return at
	}
	marks := services.FavoriteMarks{LikedAt: next(flagLiked), BookmarkedAt: next(flagBookmarked)}
	if flags != 0 || rest != "" {
		return c
	}
	return services.CachedFavorite{Marks: marks, Found: true}
}

func word(text string) (w uint64) {
	for i := range wordSize {
		w = w<<8 | uint64(text[i])
	}
	return w
}
