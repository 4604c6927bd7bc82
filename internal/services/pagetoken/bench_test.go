package pagetoken_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkToken(b *testing.B) {
	c := codec(b, newKey)
	token := c.Encode(scope, key)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			require.Equal(b, token, c.Encode(scope, key))
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := c.Decode(scope, token)
			require.NoError(b, err)
		}
	})
}
