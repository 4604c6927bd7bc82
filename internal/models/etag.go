package models

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
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
	tags := etags(header)
	return slices.Contains(tags, "*") || slices.Contains(tags, tag)
}

// SortETags is one spelling of a condition header: what names the same tags becomes the same text.
func SortETags(header string) string {
	tags := etags(header)
	slices.Sort(tags)
	return strings.Join(slices.Compact(tags), ",")
}

// etags are the tags of a list, without weak prefixes; empty elements are none.
func etags(header string) (tags []string) {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}
