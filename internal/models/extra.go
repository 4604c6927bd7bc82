package models

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Limits of preferences.extra (S7).
const (
	maxExtraBytes = 16 << 10
	maxExtraDepth = 5
	maxExtraKeys  = 64
	tooDeep       = "must nest at most 5 levels, extra itself included"
)

var (
	extraKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)
	// typedKeys have fields of their own; extra must not shadow them (S66).
	typedKeys = map[string]bool{"learning_goal": true, "daily_quota_minutes": true, "extra": true}
)

// CheckExtra returns the rules that extra breaks (S7, S66), with fields below prefix; none when it is fine.
// The object itself is depth 1. A top-level nil says that its key is not there: it takes no room.
func CheckExtra(prefix string, extra map[string]any) []Violation {
	var found []Violation
	add := func(field, format string, args ...any) {
		found = append(found, Violation{Field: field, Description: fmt.Sprintf(format, args...)})
	}
	kept := make(map[string]any, len(extra))
	for key, value := range extra {
		field := prefix + "." + key
		switch {
		case !extraKey.MatchString(key):
			add(prefix, "key %q must match %s", abbreviate(key), extraKey)
			continue
		case typedKeys[key]:
			add(field, "must be set by its own field")
		}
		if problem := checkValue(value, maxExtraDepth-1); problem != "" {
			add(field, "%s", problem)
		}
		if value != nil {
			kept[key] = value
		}
	}
	if len(kept) > maxExtraKeys {
		add(prefix, "must have at most %d keys", maxExtraKeys)
	}
	if len(found) > 0 {
		return found // what is not valid JSON cannot be measured
	}
	if jsonSize(kept) > maxExtraBytes {
		add(prefix, "must be at most %d bytes as JSON", maxExtraBytes)
	}
	return found
}

// jsonSize is the size of a checked value as JSON, its numbers written out as the database does: 1e300 has
// 301 digits there.
func jsonSize(value any) int {
	switch v := value.(type) {
	case float64:
		return len(strconv.FormatFloat(v, 'f', -1, 64))
	case []any:
		size := len("[]") + max(0, len(v)-1)
		for _, item := range v {
			size += jsonSize(item)
		}
		return size
	case map[string]any:
		size := len("{}") + max(0, len(v)-1)
		for key, item := range v {
			size += jsonSize(key) + len(":") + jsonSize(item)
		}
		return size
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // the six-byte escapes of < > & are Go's, not JSON's
	if err := encoder.Encode(value); err != nil {
		return maxExtraBytes + 1
	}
	return text.Len() - len("\n")
}

// checkValue checks a JSON value that may nest levels more.
func checkValue(value any, levels int) (problem string) {
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			return "must not contain U+0000"
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "must be a finite number"
		}
	case []any:
		if levels == 0 {
			return tooDeep
		}
		for _, item := range v {
			if problem = checkValue(item, levels-1); problem != "" {
				return problem
			}
		}
	case map[string]any:
		if levels == 0 {
			return tooDeep
		}
		for key, item := range v {
			if strings.ContainsRune(key, 0) {
				return "must not contain U+0000"
			}
			if problem = checkValue(item, levels-1); problem != "" {
				return problem
			}
		}
	}
	return ""
}

func abbreviate(text string) string {
	const limit = 64
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
