package models_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
)

// nested is an object of the given depth, itself counted.
func nested(depth int) map[string]any {
	if depth == 1 {
		return map[string]any{}
	}
	return map[string]any{"k": nested(depth - 1)}
}

func nestedList(depth int) any {
	if depth == 0 {
		return "leaf"
	}
	return []any{nestedList(depth - 1)}
}

func keys(n int) map[string]any {
	extra := map[string]any{}
	for i := range n {
		extra[fmt.Sprintf("k%d", i)] = true
	}
	return extra
}

// sized is an object of exactly n bytes as JSON.
func sized(n int, filler string) map[string]any {
	const frame = `{"k":""}`
	return map[string]any{"k": strings.Repeat(filler, (n-len(frame))/len(filler))}
}

func TestS7_ExtraWithinItsLimitsIsFine(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string]map[string]any{
		"nil":                       nil,
		"empty":                     {},
		"every JSON type":           {"a": "x", "b": 1.5, "c": true, "d": nil, "e": []any{1.0, "x"}, "f": map[string]any{"g": 1.0}},
		"5 levels of objects":       nested(5),
		"5 levels with lists":       {"k": nestedList(4)},
		"64 keys":                   keys(64),
		"64 character key":          {"k" + strings.Repeat("x", 63): 1.0},
		"key with every character":  {"aZ09_.-": 1.0},
		"inner keys are free":       {"k": map[string]any{"": 1.0, "with blank": 1.0, "learning_goal": "x", "éñ": 1.0}},
		"16 KiB":                    sized(16<<10, "x"),
		"16 KiB of angle brackets":  sized(16<<10, "<"),
		"16 KiB of wide characters": sized(16<<10, "é"),
		"line separator":            {"k": "\u2028\u2029"},
		"other control characters":  {"k": "\u0001\u001f\n\t"},
		"greatest numbers":          {"a": math.MaxFloat64, "b": -math.MaxFloat64, "c": math.SmallestNonzeroFloat64},
		"emoji":                     {"k": "🦊"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, models.CheckExtra("extra", extra))
		})
	}
}

func TestS7_ExtraBeyondItsLimitsIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		extra map[string]any
		field string
	}{
		"6 levels of objects":      {nested(6), "extra.k"},
		"6 levels with lists":      {map[string]any{"k": nestedList(5)}, "extra.k"},
		"a thousand levels":        {nested(1000), "extra.k"},
		"65 keys":                  {keys(65), "extra"},
		"one byte over 16 KiB":     {sized(16<<10+1, "x"), "extra"},
		"65 character key":         {map[string]any{"k" + strings.Repeat("x", 64): 1.0}, "extra"},
		"empty key":                {map[string]any{"": 1.0}, "extra"},
		"key starts with a digit":  {map[string]any{"1k": 1.0}, "extra"},
		"key with a blank":         {map[string]any{"a b": 1.0}, "extra"},
		"key with a newline":       {map[string]any{"a\n": 1.0}, "extra"},
		"key that is not ASCII":    {map[string]any{"clé": 1.0}, "extra"},
		"NUL in text":              {map[string]any{"k": "a\x00b"}, "extra.k"},
		"NUL deep in text":         {map[string]any{"k": []any{map[string]any{"x": "\x00"}}}, "extra.k"},
		"NUL in an inner key":      {map[string]any{"k": map[string]any{"\x00": 1.0}}, "extra.k"},
		"NaN":                      {map[string]any{"k": math.NaN()}, "extra.k"},
		"numbers that grow":        {map[string]any{"k": slices.Repeat([]any{1e300}, 60)}, "extra"},
		"infinity":                 {map[string]any{"k": math.Inf(1)}, "extra.k"},
		"minus infinity in a list": {map[string]any{"k": []any{math.Inf(-1)}}, "extra.k"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := models.CheckExtra("extra", tc.extra)
			require.Len(t, found, 1)
			require.Equal(t, tc.field, found[0].Field)
			require.NotEmpty(t, found[0].Description)
		})
	}
}

func TestS66_ExtraMustNotHoldTypedKeys(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"learning_goal", "daily_quota_minutes", "extra"} {
		found := models.CheckExtra("extra", map[string]any{key: "x"})
		require.Len(t, found, 1, key)
		require.Equal(t, "extra."+key, found[0].Field)
	}
}

func TestS8_EveryProblemOfExtraIsFound(t *testing.T) {
	t.Parallel()
	found := models.CheckExtra("p", map[string]any{"nan": math.NaN(), "nul": "\x00", "deep": nestedList(9), "learning_goal": 1.0, "fine": 1.0})
	var fields []string
	for _, v := range found {
		fields = append(fields, v.Field)
	}
	require.ElementsMatch(t, []string{"p.nan", "p.nul", "p.deep", "p.learning_goal"}, fields)
}

func TestS7_LongKeysAreNotRepeatedWhole(t *testing.T) {
	t.Parallel()
	found := models.CheckExtra("extra", map[string]any{strings.Repeat("é", 10_000): 1.0})
	require.Len(t, found, 1)
	require.Less(t, len(found[0].Description), 300)
}
