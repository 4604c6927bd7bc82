package models

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// ETag is the entity tag of a profile version (S64): "<user hash>-<version>" in quotes.
func ETag(user UserID, version int64) string {
	sum := sha256.Sum256(user[:])
	return `"` + hex.EncodeToString(sum[:8]) + "-" + strconv.FormatInt(version, 10) + `"`
}

// ETagMatches reports whether a condition header (If-Match, If-None-Match) names tag: a list of tags, weak
// prefixes ignored, or `*`.
func ETagMatches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || candidate == tag {
			return true
		}
	}
	return false
}
